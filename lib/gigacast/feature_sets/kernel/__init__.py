"""Features of series: pure functions of columns, by item, that never look ahead.

The features of a row depend on this row and the earlier rows of its item, in the order of time.
They do not depend on later rows, on other items, or on the order of rows and items in the input.
"""
