"""The section of the report on whether the network has learned."""


def learning_table(metrics: dict, label_names: tuple) -> dict:
    """Tabulate the numbers of :class:`multibox.evaluation.Learning` beside what they compare with.

    Args:
        metrics: from :func:`multibox.report.metrics.make_metrics`, with ``learning``.
        label_names: the foreground classes, in the order of their numbers.

    Returns:
        dict with ``findings``, list of str, and ``rows``, lists of cells: a sign, its value and the
        value to compare with.
    """
    learning, limits = metrics['learning'], f'{metrics["threshold"]:.2f}, the threshold'
    if learning['typical'] is not None:
        limits += f'; {learning["typical"]:.2f}, the median in test images'
    rows = []
    if learning['conf_loss'] is not None:
        rows.append(['confidence loss at the end of the run', f'{learning["conf_loss"]:.2f}',
                     f'{_show(learning["constant_loss"])}, the same probabilities for every box'])
    rows += [[f'best score in {image}', _show(learning[name]), limits]
             for name, image in (('black', 'a black image'), ('noise', 'an image of noise'))]
    box = learning['same_box']
    if box is not None:
        rows.append([f'test images with the same best box, {label_names[box["label"]]}',
                     f'{100 * box["share"]:.0f} %',
                     f'{100 * box["true_share"]:.0f} % with such an object'])
    return {'findings': learning['findings'], 'rows': rows}


def _show(loss):
    return 'unknown' if loss is None else f'{loss:.2f}'
