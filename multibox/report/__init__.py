"""The report of a run: one page, with the mistakes by their size, and the data by its own."""
from multibox.report.page import write_report
from multibox.report.results import write_results

__all__ = ['write_report', 'write_results']
