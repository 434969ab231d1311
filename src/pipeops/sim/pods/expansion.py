"""Expansion of the toy shell's words: parameters, substitutions, field splitting, patterns."""

import fnmatch
import posixpath
import re
from collections.abc import Awaitable, Callable

from pipeops.sim.pods.arithmetic import ExpressionError, evaluate
from pipeops.sim.pods.files import Files, Folder
from pipeops.sim.pods.lexer import Arithmetic, Literal, Parameter, Part, Substitution, Word

MAX_VALUE = 1 << 17
"""As Linux's longest argument: longer words and values are an error."""
MAX_FIELDS = 10_000


class ExpansionError(Exception):
    """A word cannot be expanded; the command fails."""


class Variables:
    """A shell's variables and arguments."""

    def __init__(self, environment: dict[str, str], arguments: list[str]) -> None:
        self.values = dict(environment)
        self.exported = set(environment)
        self.arguments = arguments
        self.status = 0

    def copy(self) -> "Variables":
        """For a subshell."""
        found = Variables(self.values, list(self.arguments))
        found.exported = set(self.exported)
        found.status = self.status
        return found

    def environment(self) -> dict[str, str]:
        """What programs get."""
        return {name: self.values[name] for name in self.exported if name in self.values}

    def assign(self, name: str, value: str) -> None:
        """Set a variable; ExpansionError when it is too long, or there are too many."""
        if len(value) > MAX_VALUE or len(self.values) > 1000:
            raise ExpansionError(f"{name}: value too long")
        self.values[name] = value

    def value(self, name: str) -> str | None:
        """A variable or special parameter; None when it is not set."""
        if name.isdigit():
            at = int(name)
            return self.arguments[at] if at < len(self.arguments) else None
        match name:
            case "?":
                return str(self.status)
            case "#":
                return str(max(0, len(self.arguments) - 1))
            case "$":
                return "1"
            case "@" | "*":
                return " ".join(self.arguments[1:])
            case "-" | "!":
                return ""
            case _:
                return self.values.get(name)


Substitute = Callable[[str], Awaitable[str]]
"""Runs a script and returns what it prints, without the last line ends."""


class Expander:
    """Expands words with a shell's variables, files and folder."""

    def __init__(
        self, variables: Variables, files: Files, directory: str, substitute: Substitute
    ) -> None:
        self._variables = variables
        self._files = files
        self._directory = directory
        self._substitute = substitute

    async def fields(self, words: list[Word]) -> list[str]:
        """The arguments that words become."""
        found: list[str] = []
        for word in words:
            found += await self._word_fields(word)
            if len(found) > MAX_FIELDS:
                raise ExpansionError("Argument list too long")
        return found

    async def text(self, word: Word) -> str:
        """A word as one text: no splitting, no patterns (assignments, redirections)."""
        texts = [await self._part(part) for part in word.parts]
        return self._bounded("".join(texts))

    async def _word_fields(self, word: Word) -> list[str]:
        """Pairs of text and pattern grow side by side; quoted text is escaped in the pattern."""
        fields: list[tuple[str, str]] = []
        text = pattern = ""
        present = False
        for part in word.parts:
            if isinstance(part, Parameter) and part.name == "@" and part.quoted:
                pieces = list(self._variables.arguments[1:])
                split_before = split_after = False
            else:
                value = await self._part(part)
                if part.quoted or isinstance(part, Literal):
                    value = self._home(value, part, first=not (present or fields))
                    text += value
                    pattern += _escaped(value) if part.quoted else value
                    present = True
                    continue
                pieces = value.split()
                split_before, split_after = value[:1].isspace(), value[-1:].isspace()
            if present and split_before:
                fields.append((text, pattern))
                text, pattern, present = "", "", False
            for number, piece in enumerate(pieces):
                if number:
                    fields.append((text, pattern))
                    text = pattern = ""
                text += piece
                pattern += _escaped(piece) if part.quoted else piece
                present = True
            if split_after and present:
                fields.append((text, pattern))
                text, pattern, present = "", "", False
        if present:
            fields.append((text, pattern))
        return [each for text, pattern in fields for each in self._glob(text, pattern)]

    def _home(self, value: str, part: Part, *, first: bool) -> str:
        if first and not part.quoted and re.match(r"~(/|$)", value):
            return (self._variables.value("HOME") or "~") + value[1:]
        return value

    async def _part(self, part: Part) -> str:
        match part:
            case Literal(text=text):
                return text
            case Parameter():
                return self._bounded(await self._parameter(part))
            case Substitution(script=script):
                return self._bounded(await self._substitute(script))
            case Arithmetic(expression=expression):
                try:
                    value = evaluate(await self.text(expression), self._variables.values)
                except ExpressionError as error:
                    raise ExpansionError(str(error)) from error
                return str(value)

    async def _parameter(self, part: Parameter) -> str:
        value = self._variables.value(part.name)
        operator = part.operator
        if operator == "#length":
            return str(len(value or ""))
        if not operator or part.word is None:
            return value or ""
        if operator[0] in "#%":
            return _trimmed(value or "", operator, await self.text(part.word))
        missing = value is None or (operator[0] == ":" and not value)
        match operator[-1]:
            case "+":
                return "" if missing else await self.text(part.word)
            case "?" if missing:
                raise ExpansionError(f"{part.name}: {await self.text(part.word)}")
            case "=" if missing:
                value = await self.text(part.word)
                self._variables.assign(part.name, value)
            case "-" if missing:
                value = await self.text(part.word)
            case _:
                pass
        return value or ""

    def _glob(self, text: str, pattern: str) -> list[str]:
        if pattern == _escaped(text):
            return [text]
        found = [""] if not pattern.startswith("/") else ["/"]
        for step in [step for step in pattern.split("/") if step]:
            found = [each for start in found for each in self._children(start, step)]
            if len(found) > MAX_FIELDS:
                raise ExpansionError("Argument list too long")
        return sorted(found) or [text]

    def _children(self, start: str, step: str) -> list[str]:
        try:
            folder = self._files.folder(start or ".", self._directory)
        except OSError:
            return []
        names = [n for n in folder.children if step.startswith(".") or not n.startswith(".")]
        if step in {".", ".."}:
            names = [step]
        matching = [name for name in names if fnmatch.fnmatchcase(name, step)]
        return [posixpath.join(start, name) for name in matching]

    @staticmethod
    def _bounded(text: str) -> str:
        if len(text) > MAX_VALUE:
            raise ExpansionError("word too long")
        return text


def _escaped(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)


def _trimmed(value: str, operator: str, pattern: str) -> str:
    """`${x#p}`, `${x##p}`, `${x%p}`, `${x%%p}`."""
    size = len(value)
    lengths = range(size + 1) if len(operator) == 1 else range(size, -1, -1)
    for length in lengths:
        if operator[0] == "#" and fnmatch.fnmatchcase(value[:length], pattern):
            return value[length:]
        if operator[0] == "%" and fnmatch.fnmatchcase(value[size - length :], pattern):
            return value[: size - length]
    return value


def is_folder(files: Files, path: str, directory: str) -> bool:
    """Whether a folder is there."""
    try:
        return isinstance(files.find(path, directory), Folder)
    except OSError:
        return False
