"""Features online: stores of served features, their values, and the fetching of them."""
