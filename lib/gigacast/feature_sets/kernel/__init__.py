"""Features of series: pure functions of columns, by item, that never look ahead.

What a feature says of a row depends on this row and the item's earlier ones, in the order of time:
neither on later rows, nor on other items, nor on the order rows or items come in.
"""
