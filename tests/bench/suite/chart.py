"""One chart of the rows, as SVG."""


def svg(rows):
    return "<svg xmlns='http://www.w3.org/2000/svg'/>"
