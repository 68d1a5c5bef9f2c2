"""Potato's own files: the state of one annotator, and instances with labels by schema.

`user_state.json` has all answers of a person, `annotated_instances.jsonl` one per line; in CSV and
TSV a label is a column `schema:::label`.
"""

from collections.abc import Iterable, Iterator, Mapping

MARK = ":::"
"""Stands between schema and label in the name of a column."""
_STATE, _LABELS = "instance_id_to_label_to_value", "label_annotations"
_VALUES = ("selection", "value", "choice", "label")
"""Names of a label whose value is the choice, rather than true."""
_NO = ("", "false", "none", "null", "0")


def is_native(value: Mapping[str, object]) -> bool:
    """True for an object as Potato writes it."""
    return isinstance(value.get(_STATE), dict) or isinstance(value.get(_LABELS), dict)


def rows(value: Mapping[str, object]) -> Iterator[dict[str, str]]:
    """A row per instance that a person annotated, with a column per schema.

    Raises:
        TypeError: if a part is not as Potato has it.
        AttributeError: likewise.
    """
    state, labels = value.get(_STATE), value.get(_LABELS)
    if isinstance(state, dict):
        order = value.get("instance_id_ordering")
        shown = [str(each) for each in order] if isinstance(order, list) else []
        answered = [each for each in shown if each in state]
        for instance, given in state.items():
            position = {"position": str(answered.index(instance) + 1)} if instance in shown else {}
            own = {"user_id": str(value["user_id"]), "instance_id": instance}
            if schemas := _schemas(_labels(given)):
                yield {**own, **schemas, **position}
    elif isinstance(labels, dict):
        scalars = {name: str(part) for name, part in value.items() if isinstance(part, str | int)}
        if schemas := _schemas(_labels(labels)):
            yield {**scalars, **schemas}


def merged(row: Mapping[str, str]) -> dict[str, str]:
    """A row of CSV with each schema's columns as one; empty where nothing was labelled."""
    others = {name: text for name, text in row.items() if MARK not in name}
    labels: list[tuple[str, str, object]] = []
    for name, text in row.items():
        schema, mark, label = name.partition(MARK)
        if mark:
            labels.append((schema, label, text))
    schemas = _schemas(labels)
    return {**others, **schemas} if schemas else {}


def _labels(given: object) -> Iterator[tuple[str, str, object]]:
    """Schema, name and value of each label, of an object or of a list of pairs."""
    if isinstance(given, dict):
        for schema, named in given.items():
            for name, value in named.items():
                yield schema, name, value
        return
    if not isinstance(given, list):
        raise TypeError("labels are neither an object nor a list")
    for label, value in given:
        yield label["schema"], label["name"], value


def _schemas(labels: Iterable[tuple[str, str, object]]) -> dict[str, str]:
    """The choice of each schema; of several ones, all."""
    chosen: dict[str, list[str]] = {}
    for schema, name, value in labels:
        text = str(value).strip()
        if text.lower() not in _NO:
            chosen.setdefault(schema, []).append(text if name in _VALUES else name)
    return {schema: " ".join(names) for schema, names in chosen.items()}
