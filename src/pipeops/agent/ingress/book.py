"""RouteBook: what all sources together ask for; of several that want one key, the one that has it."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from pipeops.agent.ingress.routes import RouteKey, RouteSpec, Source, Translation
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

#: A few MB here, and of the body of one synchronisation.
MAX_ROUTES: Final = 20_000
_NOTHING: Final = Translation()


class RouteBook:
    """Desired routes. Level-triggered: it knows what is, not what happened."""

    def __init__(self, *, limit: int = MAX_ROUTES) -> None:
        self._limit = limit
        self._translations: dict[Source, Translation] = {}
        self._claims: dict[RouteKey, tuple[RouteSpec, ...]] = {}
        self._services: dict[tuple[str, str], set[Source]] = {}
        self._gateways: dict[tuple[str, str], set[Source]] = {}
        self._overflowed = False

    def __len__(self) -> int:
        """Routes."""
        return len(self._claims)

    def get(self, key: RouteKey) -> RouteSpec | None:
        """The route of a key."""
        claims = self._claims.get(key)
        return claims[0] if claims else None

    def routes(self) -> dict[RouteKey, RouteSpec]:
        """Every route, by key, up to the limit; a copy."""
        overflows = len(self._claims) > self._limit
        if overflows and not self._overflowed:
            log.warning(
                "more routes than may be published", limit=self._limit, routes=len(self._claims)
            )
        self._overflowed = overflows
        return {key: claims[0] for key, claims in islice(self._claims.items(), self._limit)}

    def remarks(self) -> Iterator[tuple[Source, str]]:
        """What is not published as written, and why."""
        for source, translation in self._translations.items():
            for remark in translation.remarks:
                yield source, remark

    def sources_of_service(self, key: tuple[str, str]) -> list[Source]:
        """Who looked at a Service, (namespace, name)."""
        return list(self._services.get(key, ()))

    def sources_of_gateway(self, key: tuple[str, str]) -> list[Source]:
        """Who looked at a Gateway, (namespace, name)."""
        return list(self._gateways.get(key, ()))

    def sources(self) -> list[Source]:
        """Every source."""
        return list(self._translations)

    def put(self, source: Source, translation: Translation) -> bool:
        """Replace what a source asks for; whether that changed any route."""
        if translation == _NOTHING:
            return self.remove(source)
        before = self._translations.get(source)
        if before == translation:
            return False
        if before is not None:
            self._index(source, before, add=False)
            self._withdraw(before)
        self._translations[source] = translation
        self._index(source, translation, add=True)
        self._claim(translation)
        if translation.remarks and (before is None or before.remarks != translation.remarks):
            log.warning(
                "not published as written", source=str(source), why="; ".join(translation.remarks)
            )
        return before is None or before.routes != translation.routes

    def remove(self, source: Source) -> bool:
        """Forget a source; whether it had routes."""
        before = self._translations.pop(source, None)
        if before is None:
            return False
        self._index(source, before, add=False)
        self._withdraw(before)
        return bool(before.routes)

    def _index(self, source: Source, translation: Translation, *, add: bool) -> None:
        for index, keys in (
            (self._services, translation.services),
            (self._gateways, translation.gateways),
        ):
            for key in keys:
                if add:
                    index.setdefault(key, set()).add(source)
                    continue
                index[key].discard(source)
                if not index[key]:
                    del index[key]

    def _claim(self, translation: Translation) -> None:
        for route in translation.routes:
            claims = self._claims.get(route.key, ())
            self._claims[route.key] = tuple(
                sorted((*claims, route), key=lambda each: each.precedence)
            )

    def _withdraw(self, translation: Translation) -> None:
        for route in translation.routes:
            left = tuple(each for each in self._claims[route.key] if each != route)
            if left:
                self._claims[route.key] = left
            else:
                del self._claims[route.key]
