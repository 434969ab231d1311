"""The toy shell's tokens: words with their quotes, expansions and here-documents."""

import re
from dataclasses import dataclass, field

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
REDIRECTION = re.compile(r"(\d*)(>>|>&|<<|<&|<|>\||>)")
OPERATORS = ("&&", "||", ";;", ";", "|", "&", "(", ")", "\n")
SPECIAL = frozenset("?#$!@*-0123456789")
BLANK = " \t\r"
ENDS = frozenset(" \t\r\n;|&()<>")


class ScriptError(Exception):
    """The text is not a script; `incomplete` when more of it might make it one."""

    def __init__(self, message: str, *, incomplete: bool = False) -> None:
        super().__init__(message)
        self.incomplete = incomplete


@dataclass(frozen=True, slots=True)
class Literal:
    """Text as it is; unquoted text may hold patterns."""

    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Parameter:
    """`$name` or `${name<operator><word>}`; the operator `#` alone is the length."""

    name: str
    quoted: bool
    operator: str = ""
    word: "Word | None" = None


@dataclass(frozen=True, slots=True)
class Substitution:
    """`$(script)`."""

    script: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`$((expression))`."""

    expression: "Word"
    quoted: bool


Part = Literal | Parameter | Substitution | Arithmetic


@dataclass(frozen=True, slots=True)
class Word:
    """One word before expansion."""

    parts: list[Part] = field(default_factory=list)

    def after_assignment(self, name: str) -> "Word":
        """What follows `name=`."""
        first = self.parts[0]
        assert isinstance(first, Literal)  # noqa: S101 - the lexer saw `name=` in it
        return Word([Literal(first.text[len(name) + 1 :], quoted=False), *self.parts[1:]])


@dataclass(frozen=True, slots=True)
class Token:
    """One token: a `word`, an `operator`, a `redirection` or the `end`. `text` is its source; `plain` words have no quotes or expansions."""

    kind: str
    text: str
    word: Word = field(default_factory=Word)
    descriptor: int = -1
    plain: bool = False
    assignment: str = ""


class Lexer:
    """Cuts text into tokens, on demand."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._delimiter_next = False
        self._here: list[tuple[str, bool, Word]] = []

    def next(self) -> Token:
        """The next token.

        Raises:
            ScriptError: a quote or expansion is not closed, or something is not supported.
        """
        self._skip_blanks()
        if self._at >= len(self._text):
            if self._here:
                raise ScriptError("here-document not ended", incomplete=True)
            return Token("end", "")
        if self._delimiter_next:
            return self._here_delimiter()
        redirection = REDIRECTION.match(self._text, self._at)
        if redirection:
            self._at = redirection.end()
            operator = redirection[2].replace(">|", ">")
            number = redirection[1] or ("0" if operator[0] == "<" else "1")
            self._delimiter_next = operator == "<<"
            return Token("redirection", operator, descriptor=int(number[:4]))
        for operator in OPERATORS:
            if self._text.startswith(operator, self._at):
                self._at += len(operator)
                if operator in {"&", ";;"}:
                    raise ScriptError(f'"{operator}" is not supported in this simulated shell')
                if operator == "\n":
                    self._here_bodies()
                return Token("operator", operator)
        return self._word_token()

    def _skip_blanks(self) -> None:
        text = self._text
        while self._at < len(text):
            if text[self._at] in BLANK:
                self._at += 1
            elif text.startswith("\\\n", self._at):
                self._at += 2
            elif text[self._at] == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            else:
                return

    def _word_token(self) -> Token:
        start = self._at
        parts = self._parts(ENDS)
        source = self._text[start : self._at]
        match = ASSIGNMENT.match(source)
        plain = len(parts) == 1 and isinstance(parts[0], Literal) and not parts[0].quoted
        name = match[1] if match else ""
        return Token("word", source, Word(parts), plain=plain, assignment=name)

    def _parts(self, ends: frozenset[str]) -> list[Part]:
        """Parts up to one of `ends`, or the end of the text."""
        parts: list[Part] = []
        while self._at < len(self._text) and self._text[self._at] not in ends:
            character = self._text[self._at]
            if character == "'":
                parts.append(Literal(self._until_quote(), quoted=True))
            elif character == '"':
                self._at += 1
                parts.extend(self.double_quoted() or [Literal("", quoted=True)])
            elif character == "\\":
                following = self._text[self._at + 1 : self._at + 2]
                if not following:
                    raise ScriptError("unexpected end of file", incomplete=True)
                if following != "\n":
                    parts.append(Literal(following, quoted=True))
                self._at += 2
            elif character in "$`":
                parts.append(self._expansion(quoted=False))
            else:
                parts.append(Literal(self._run(ends | frozenset("'\"\\$`")), quoted=False))
        return parts

    def _run(self, ends: frozenset[str]) -> str:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in ends:
            self._at += 1
        return self._text[start : self._at]

    def _until_quote(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise ScriptError("Unterminated quoted string", incomplete=True)
        text = self._text[self._at + 1 : end]
        self._at = end + 1
        return text

    def double_quoted(self, end: str = '"') -> list[Part]:
        """Parts up to the closing quote; up to the end of the text when `end` is empty."""
        parts: list[Part] = []
        while True:
            if self._at >= len(self._text):
                if not end:
                    return parts
                raise ScriptError("Unterminated quoted string", incomplete=True)
            character = self._text[self._at]
            if character == end:
                self._at += 1
                return parts
            if character == "\\" and self._text[self._at + 1 : self._at + 2] in set('$`"\\\n'):
                following = self._text[self._at + 1 : self._at + 2]
                parts.append(Literal("" if following == "\n" else following, quoted=True))
                self._at += 2
            elif character in "$`":
                parts.append(self._expansion(quoted=True))
            else:
                self._at += 1
                rest = self._run(frozenset({end, "\\", "$", "`"} - {""}))
                parts.append(Literal(character + rest, quoted=True))

    def _expansion(self, *, quoted: bool) -> Part:
        text, at = self._text, self._at
        if text[at] == "`":
            end = text.find("`", at + 1)
            if end < 0:
                raise ScriptError("Unterminated backquote", incomplete=True)
            self._at = end + 1
            return Substitution(text[at + 1 : end], quoted)
        if text.startswith("$((", at):
            inner = self._balanced(at + 1)
            if not inner.startswith("(") or not inner.endswith(")"):
                raise ScriptError("missing '))'")
            nested = Lexer(inner[1:-1])
            return Arithmetic(Word(nested.double_quoted("")), quoted)
        if text.startswith("$(", at):
            return Substitution(self._balanced(at + 1), quoted)
        if text.startswith("${", at):
            return self._braced(quoted=quoted)
        name = NAME.match(text, at + 1)
        if name:
            self._at = name.end()
            return Parameter(name[0], quoted)
        if text[at + 1 : at + 2] in SPECIAL:
            self._at = at + 2
            return Parameter(text[at + 1], quoted)
        self._at = at + 1
        return Literal("$", quoted)

    def _balanced(self, start: int) -> str:
        """The text between the parenthesis at `start` and its partner; quotes are respected."""
        depth, at, quote = 0, start, ""
        while at < len(self._text):
            character = self._text[at]
            if quote:
                at += character == "\\" and quote == '"'
                quote = "" if character == quote else quote
            elif character in "'\"":
                quote = character
            elif character == "\\":
                at += 1
            elif character == "(":
                depth += 1
            elif character == ")":
                depth -= 1
                if depth == 0:
                    self._at = at + 1
                    return self._text[start + 1 : at]
            at += 1
        raise ScriptError("end of file unexpected", incomplete=True)

    def _braced(self, *, quoted: bool) -> Parameter:
        self._at += 2
        length = self._text.startswith("#", self._at) and not self._text.startswith("#}", self._at)
        self._at += length
        name = NAME.match(self._text, self._at)
        if name:
            self._at = name.end()
            found = name[0]
        elif self._text[self._at : self._at + 1] in SPECIAL:
            found = self._text[self._at]
            self._at += 1
        else:
            raise ScriptError("Bad substitution")
        operator = re.compile(r":?[-=+?]|##?|%%?|").match(self._text, self._at)
        assert operator is not None  # noqa: S101 - the pattern matches the empty text
        self._at = operator.end()
        word = Word(self._parts(frozenset("}"))) if operator[0] else None
        if not self._text.startswith("}", self._at):
            if self._at >= len(self._text):
                raise ScriptError("Missing '}'", incomplete=True)
            raise ScriptError("Bad substitution")
        self._at += 1
        return Parameter(found, quoted, "#length" if length else operator[0], word)

    def _here_delimiter(self) -> Token:
        self._delimiter_next = False
        token = self._word_token()
        if not token.text:
            raise ScriptError("here-document without a delimiter")
        parts = [part for part in token.word.parts if isinstance(part, Literal)]
        literal = any(part.quoted for part in parts)
        body = Word()
        self._here.append(("".join(part.text for part in parts), literal, body))
        return Token("word", token.text, body)

    def _here_bodies(self) -> None:
        for delimiter, literal, body in self._here:
            taken: list[str] = []
            while True:
                if self._at >= len(self._text):
                    raise ScriptError("here-document not ended", incomplete=True)
                end = self._text.find("\n", self._at)
                stop = len(self._text) if end < 0 else end
                line = self._text[self._at : stop]
                self._at = stop + (end >= 0)
                if line == delimiter:
                    break
                taken.append(line + "\n")
            text = "".join(taken)
            parts = [Literal(text, quoted=True)] if literal else Lexer(text).double_quoted("")
            body.parts.extend(parts)
        self._here.clear()
