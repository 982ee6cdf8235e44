"""Classes of plain values, as dataclasses are, made in a fiftieth of the time.

`dataclasses` imports `inspect`, and compiles half a dozen functions for every class
each time that a program starts: 1.5 ms a class here, and for this package's values two
fifths of what patching a wheel with one extension took. Here all classes share one set
of methods. Type checkers see dataclasses (PEP 681).
"""

from __future__ import annotations

from operator import attrgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, TypeVar

    from typing_extensions import Self, dataclass_transform

    V = TypeVar("V", bound="Value")
else:

    def dataclass_transform(**_: object) -> Callable[[type], type]:
        """Stand for typing's, which is for type checkers and absent from Python 3.10."""
        return lambda decorated: decorated


#: Stands for the default of a field that has none.
REQUIRED: Any = object()


class Field:
    """What a class knows of one field: its default, and what it counts for."""

    __slots__ = ("compare", "default", "factory", "hash", "repr")

    def __init__(
        self, default: object, factory: Callable[[], object] | None, *counts: bool
    ) -> None:
        self.default, self.factory = default, factory
        self.compare, self.hash, self.repr = counts


def field(
    *,
    default: Any = REQUIRED,  # noqa: ANN401 - it is whatever the field is
    default_factory: Callable[[], Any] | None = None,
    compare: bool = True,
    hash: bool = True,  # noqa: A002 - the names of dataclasses.field
    repr: bool = True,  # noqa: A002
) -> Any:  # noqa: ANN401 - the type checker takes the annotation's word
    """Describe a field of a `Value`, with the words of `dataclasses.field`."""
    return Field(default, default_factory, compare, hash and compare, repr)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class ValueClass(type):
    """The class of `Value` and its children: annotations become fields, in slots."""

    def __new__(
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        frozen: bool = True,
        kw_only: bool = True,
    ) -> Any:  # noqa: ANN401 - mypy has no name for the class being made
        """Make the class; ``frozen`` and ``kw_only`` are those of `dataclasses.dataclass`."""
        own = namespace.get("__annotations__", {})
        fields = {each: how for base in bases for each, how in getattr(base, "_fields", {}).items()}
        for each in own:
            given = namespace.pop(each, REQUIRED)
            fields[each] = given if isinstance(given, Field) else field(default=given)
        namespace |= {
            "__slots__": tuple(own),
            "_fields": fields,
            "_defaults": {e: f.default for e, f in fields.items() if f.default is not REQUIRED},
            "_factories": [(e, f.factory) for e, f in fields.items() if f.factory],
            "_positional": not kw_only,
            "_all": _getter(list(fields)),
            "_compared": _getter([each for each, how in fields.items() if how.compare]),
            "_hashed": _getter([each for each, how in fields.items() if how.hash]),
        }
        if not frozen:
            namespace |= {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
            namespace.setdefault("__hash__", None)
        made: Any = super().__new__(cls, name, bases, namespace)
        puts = [(each, getattr(made, each).__set__) for each in fields]
        made._puts = tuple(puts)  # noqa: SLF001 - the slots are there from now on
        return made


def _getter(names: list[str]) -> Any:  # noqa: ANN401 - see the annotations of `Value`
    """Make what reads these fields of a value into a tuple, all in one call of C."""
    if len(names) > 1:
        return attrgetter(*names)
    # attrgetter gives no tuple for a single name. Static: a function would become a method.
    return staticmethod(lambda value: tuple([getattr(value, name) for name in names]))


class Value(metaclass=ValueClass):
    """The parent of all values: frozen, compared, hashed and shown by their fields.

    ``kw_only=False`` in the class statement allows positional arguments;
    ``frozen=False`` lets the fields be set, and takes the hash away.
    """

    if TYPE_CHECKING:  # what the metaclass sets; an annotation seen here would be a field
        _fields: ClassVar[dict[str, Field]]
        _all: ClassVar[attrgetter[tuple[Any, ...]]]
        _compared: ClassVar[attrgetter[tuple[Any, ...]]]
        _hashed: ClassVar[attrgetter[tuple[Any, ...]]]
        _defaults: ClassVar[dict[str, object]]
        _factories: ClassVar[list[tuple[str, Callable[[], object]]]]
        _puts: ClassVar[tuple[tuple[str, Callable[[Any, object], None]], ...]]
        _positional: ClassVar[bool]

    def __init__(self, *args: object, **given: object) -> None:
        if args:
            if len(args) == len(self._puts) and self._positional and not given:
                for (_, put), value in zip(self._puts, args, strict=True):
                    put(self, value)
                return
            given.update(self._named(args, given))
        values = given
        if len(given) < len(self._puts):
            values = self._defaults | given
            for name, factory in self._factories:
                if name not in given:
                    values[name] = factory()
        try:
            for name, put in self._puts:
                put(self, values[name])
        except KeyError:
            raise TypeError(f"{type(self).__name__} lacks the argument {name!r}") from None
        if len(values) != len(self._puts):
            unknown = given.keys() - self._fields.keys()
            raise TypeError(f"{type(self).__name__} has no field {', '.join(map(repr, unknown))}")

    def _named(self, args: tuple[object, ...], given: dict[str, object]) -> dict[str, object]:
        named = dict(zip(self._fields, args, strict=False))
        if not self._positional or len(args) > len(self._fields) or named.keys() & given.keys():
            raise TypeError(f"{type(self).__name__} takes each field once, most by keyword only")
        return named

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        fields = self._compared
        return fields(self) == fields(other)

    def __hash__(self) -> int:
        return hash(self._hashed(self))

    def __repr__(self) -> str:
        shown = (f"{e}={getattr(self, e)!r}" for e, how in self._fields.items() if how.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name!r} can't be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name!r} can't be deleted")

    def __replace__(self, /, **changes: object) -> Self:
        return replace(self, **changes)

    def __reduce__(self) -> tuple[object, ...]:
        return _made, (type(self), {each: getattr(self, each) for each in self._fields})


def _made(cls: type[V], values: dict[str, object]) -> V:
    return cls(**values)


def field_names(value: Value | type[Value]) -> tuple[str, ...]:
    """Return the names of the fields, in the order of the class body."""
    return tuple(value._fields)


def astuple(value: Value) -> tuple[Any, ...]:
    """Return the fields' values in order; values inside of them stay values."""
    return value._all(value)  # noqa: SLF001 - of this module


def as_json(value: object, *names: str) -> dict[str, Any]:
    """Return attributes of a value by their names, as JSON has them: lists for tuples."""
    found = {name: getattr(value, name) for name in names}
    return {n: list(each) if isinstance(each, tuple) else each for n, each in found.items()}


def replace(value: V, **changes: object) -> V:
    """Return a copy with other values in some fields; TypeError for a name that is no field."""
    copy = object.__new__(type(value))
    fields = zip(value._puts, value._all(value), strict=True)  # noqa: SLF001
    for (name, put), old in fields:
        put(copy, changes.pop(name) if name in changes else old)
    if changes:
        raise TypeError(f"{type(value).__name__} has no field {', '.join(map(repr, changes))}")
    return copy
