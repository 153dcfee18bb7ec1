"""The seal: what the images are, encrypted under a key that is not where the server is.

The key of a review (which name is which image) is encrypted with Fernet (AES-128-CBC and HMAC-SHA256, of the library
cryptography) under 256 random bits, the opening code. The code is written to a file outside the study folder or shown
once, and to nowhere else. So whoever holds the study folder, the server too, holds a cipher and nothing that opens it;
this does not rest on anyone's rights to files. What rests on these is that the server's machine or user cannot read the
file with the code as well: the server asks, and does not start where it can.

The hash of the plain key, shown to every rater and recorded, fixes it before the first answer: no other key has that
hash. A random salt in it keeps the hash from telling anything of the key.

The key names the hash of the design. A design that was changed does not fit, and is refused.
"""

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from pydantic import ValidationError

from morphogen.problems import Problem
from morphogen.review.records import Key, Study, canonical, sha256
from morphogen.whole_files import write_text_whole

HEADING = "Opening code of a Morphogen review. Keep it away from the study folder and from the machine that serves it."
"""First line of a file with a code."""


def seal(key: Key) -> tuple[str, str, str]:
    """Encrypt a key.

    Returns:
        The cipher, the code that opens it, and the hash of the key.
    """
    code = Fernet.generate_key()
    plain = canonical(key)
    return Fernet(code).encrypt(plain).decode(), code.decode(), sha256(plain)


def write_code(code: str, file: Path) -> None:
    """Write the opening code, readable for its owner alone.

    Raises:
        Problem: the file cannot be written.
    """
    write_text_whole(file, f"{HEADING}\n{code}\n")
    os.chmod(file, 0o600)


def read_code(file: Path) -> str:
    """The code that ``write_code`` wrote.

    Raises:
        Problem: there is no such file, or there is no code in it.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise Problem(
            f"the opening code in {file} cannot be read", do="give the file that 'review new' wrote"
        ) from None
    if len(lines) < 2 or lines[0] != HEADING:
        raise Problem(f"{file} holds no opening code", do="give the file that 'review new' wrote")
    return lines[1].strip()


def unseal(cipher: str, code: str, study: Study) -> Key:
    """Open a key and check that it is the one that was sealed, for this design.

    Raises:
        Problem: the code does not open it, or it is not the sealed key of this study.
    """
    try:
        plain = Fernet(code.encode()).decrypt(cipher.encode())
    except (InvalidToken, ValueError):
        raise Problem("this code does not open the key of this study", do="give the code of this study") from None
    if sha256(plain) != study.key_sha256:
        raise Problem("the key is not the one that was sealed before the first answer", do="restore the study folder")
    try:
        key = Key.model_validate_json(plain)
    except ValidationError:
        raise Problem("the key is of another version of Morphogen", do="open it with that version") from None
    if key.design_sha256 != sha256(canonical(study.design)):
        raise Problem("study.json was changed after the key was sealed", do="restore the study folder")
    return key


def require_blind(folder: Path, key_place: str) -> None:
    """Refuse to serve where the opening code can be read.

    Raises:
        Problem: it lies where it was written, or in the study folder.
    """
    found = [file for file in (Path(key_place),) if key_place and os.access(file, os.R_OK)]
    found += [file for file in folder.rglob("*") if file.is_file() and _is_code(file)]
    if found:
        raise Problem(
            f"the server could read the opening code in {found[0]}, and would not be blind",
            do="move it to another machine or a stick, or serve as a user who may not read it",
        )


def _is_code(file: Path) -> bool:
    try:
        with open(file, "rb") as opened:
            return opened.read(len(HEADING)) == HEADING.encode()
    except OSError:
        return False
