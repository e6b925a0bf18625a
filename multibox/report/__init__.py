"""The HTML report of a run: scores, curves, the worst mistakes in pictures, data statistics."""
from multibox.report.curves import plot_curves
from multibox.report.inputs import save_inputs
from multibox.report.page import write_report
from multibox.report.results import write_results

__all__ = ['plot_curves', 'save_inputs', 'write_report', 'write_results']
