"""What can go wrong in a way that the person at the keyboard can put right."""


class Problem(Exception):
    """One line a scientist understands: what is wrong, where, and what to do about it.

    The command line prints it without a traceback and leaves with exit code 2. Anything else that is
    raised is a fault of the program and keeps its traceback.

    Args:
        what: what is wrong and where, without a full stop at the end.
        do: what to do about it, in the imperative, without a full stop at the end.
    """

    def __init__(self, what: str, *, do: str) -> None:
        self.what = what
        self.do = do
        super().__init__(" ".join(f"{what}: {do}".split()))
