"""Counts with their nouns."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 file`` or ``1,204 files``.

    Parameters
    ----------
    number : int
    noun : str
        Singular.
    plural : str
        The singular with an ``s`` by default.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
