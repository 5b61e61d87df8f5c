"""Portico's targets, judged on the rows of one run. No I/O."""


def evaluate(rows):
    """[{scenario, target, measured, verdict}]; verdict: met, missed, or not measured."""
    return []
