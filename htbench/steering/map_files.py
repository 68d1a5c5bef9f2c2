"""Saved maps: read, described, and calculated with as `htbench.steering.algebra` does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.core.errors import Refused, UnknownName, UsageError
from htbench.core.types import Site
from htbench.steering import algebra, intervention, spatial
from htbench.steering.gates import ImageGated, TokensGated
from htbench.steering.intervention import Affine, Intervention, InterventionOrigin, OnMeans
from htbench.steering.spatial import Spatial


@dataclass(frozen=True, kw_only=True)
class MapFile:
    """The maps of a file; only affine ones can be calculated with."""

    path: Path
    change: Intervention
    origin: InterventionOrigin | None
    """None where the file does not say."""

    @classmethod
    def read(cls, path: Path) -> "MapFile":
        """The maps in the file `path`.

        Raises:
            UnknownName: if there is no such file, with the nearest ones beside it.
            Refused: if it is damaged.
        """
        if not path.is_file():
            beside = [str(each) for each in path.parent.glob("*.safetensors")]
            raise UnknownName("file", str(path), beside)
        return cls(path=path, change=intervention.load(path), origin=intervention.read_origin(path))

    @property
    def gate(self) -> str:
        """The images or positions that they are applied to, in words; empty: to all."""
        if isinstance(self.change, ImageGated):
            return f"images that pass a gate at {', '.join(sorted(self.change.gates))}"
        is_gated = isinstance(self.change, TokensGated)
        return "positions that pass the gate of each site" if is_gated else ""

    @property
    def on_means(self) -> bool:
        """True if they are applied to means over positions, at all of their sites."""
        change = self._ungated
        return isinstance(change, OnMeans) and change.on_means == change.sites

    @property
    def spatial(self) -> Spatial | None:
        """The maps with their shifts per position; None: they are the same at all positions."""
        return self._inner if isinstance(self._inner, Spatial) else None

    @property
    def is_affine(self) -> bool:
        """True if they are affine, at each position or on means over positions."""
        return isinstance(self._inner, Affine | Spatial)

    @property
    def maps(self) -> Affine:
        """The affine maps, without shifts per position.

        Raises:
            Refused: if they are not affine.
        """
        inner = self._inner
        maps = inner.maps if isinstance(inner, Spatial) else inner
        if isinstance(maps, Affine):
            return maps
        raise Refused(
            f"{str(self.path)!r} is an intervention of kind {self.change.kind!r}, "
            "which is not affine",
            remedy="Give maps of a method that fits affine ones, such as lineas.",
        )

    @property
    def _ungated(self) -> Intervention:
        change = self.change
        return change.change if isinstance(change, ImageGated | TokensGated) else change

    @property
    def _inner(self) -> Intervention:
        change = self._ungated
        return change.change if isinstance(change, OnMeans) and self.on_means else change

    @property
    def name(self) -> str:
        """Its concept, or the file's name where that is not known."""
        return self.origin.concept if self.origin and self.origin.concept else self.path.stem

    def strongest_sites(self, count: int) -> list[tuple[Site, float]]:
        """The sites that are changed most, with the root mean square of `scale - 1` and shift."""
        sizes = {
            site: float(
                ((self.maps.scale[site] - 1).square() + self.maps.shift[site].square())
                .mean()
                .sqrt()
            )
            for site in self.maps.sites
        }
        return sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0]))[:count]


def compose(files: Sequence[MapFile], path: Path) -> None:
    """Write to `path` the maps that act as those of all files in turn, at strength 1."""
    _refuse_spatial(files)
    _write(files, algebra.compose(*(file.maps for file in files)), " then ".join, path)


def average(files: Sequence[MapFile], path: Path) -> None:
    """Write to `path` the means of the scales and shifts of all files."""
    _refuse_spatial(files)
    _write(files, algebra.average([file.maps for file in files]), " and ".join, path)


def invert(file: MapFile, path: Path) -> None:
    """Write to `path` the maps that undo those of `file` at strength 1."""
    undone = algebra.invert(file.maps) if file.spatial is None else spatial.invert(file.spatial)
    _write([file], undone, lambda names: f"not {next(iter(names))}", path)


def _refuse_spatial(files: Sequence[MapFile]) -> None:
    for file in files:
        if file.spatial:
            raise Refused(
                f"{str(file.path)!r} has shifts per position, which are not composed or averaged",
                remedy="Give maps that are the same at all positions.",
            )


def _write(
    files: Sequence[MapFile],
    maps: Affine | Spatial,
    name: Callable[[Sequence[str]], str],
    path: Path,
) -> None:
    if gated := [file for file in files if file.gate]:
        raise Refused(
            f"{str(gated[0].path)!r} has a gate, which was fitted to its own maps",
            remedy="Give maps without a gate.",
        )
    models = {(each.origin.model, each.origin.revision) for each in files if each.origin}
    if len(models) > 1:
        raise Refused(
            f"the maps are for different models: {', '.join(sorted(name for name, _ in models))}",
            remedy="Give maps that were learnt for one model and revision.",
        )
    if len({each.on_means for each in files}) > 1:
        raise UsageError(
            "some of the maps are applied to means over positions, others to each position",
            remedy="Give maps of methods that do the same, as htbench maps show says.",
        )
    change: Intervention = OnMeans(maps) if files[0].on_means else maps
    concept = name([each.name for each in files])
    origins = [
        InterventionOrigin(model=model, revision=revision, method="maps", concept=concept)
        for model, revision in models
    ]
    intervention.save(change, path, origin=next(iter(origins), None))
