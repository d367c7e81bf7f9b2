"""One latent of every model, moved along directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL.Image import Image

from latentbench.app import scripts
from latentbench.app.explorer import Explorer, Labels, Picture
from latentbench.data.image_grid import Images
from latentbench.inference.latents import Latents
from latentbench.inference.pictures import grid

NUM_FRAMES = 25
FRAME_MILLISECONDS = 80
LARGEST = 3.0  # standard deviations, in either direction

KINDS = ("principal", "attributes", "dimensions")


@dataclass(frozen=True)
class Directions:
    """A start and amounts along directions, in standard deviations of each model's latents.

    The start is the latent of `seed`, the mean latent for `start="mean"`, or that of `picture`,
    which is found under its own labels and decoded under `labels`.
    `principal` and `dimensions` have amounts by index, `attributes` by name. Models that lack a
    direction stay as they are. `moving` is the kind and the key of the direction of the animation.
    """

    seed: int = 0
    start: str = "seed"
    picture: Picture | None = None
    principal: Mapping[int, float] = field(default_factory=dict)
    attributes: Mapping[str, float] = field(default_factory=dict)
    dimensions: Mapping[int, float] = field(default_factory=dict)
    labels: Labels | None = None
    moving: tuple[str, Any] | None = None

    def render(self, explorer: Explorer, names: Sequence[str]) -> dict[str, Images]:
        """Return the image of each model, uint8 (1, height, width, channel)."""
        images = {}
        for name in names:
            model = explorer.models[name]
            latents = self.latents(explorer, name)
            images[name] = model.decode(latents, labels=self._labels_of(explorer, name))
        return images

    def latents(self, explorer: Explorer, name: str) -> Latents:
        """Return the moved latent of a model, (1, latent_dim)."""
        model, arrays = explorer.models[name], explorer.arrays(name)
        latents = self._start(explorer, name).copy()
        for index, amount in self.principal.items():
            if self.has(explorer, name, "principal", index):
                latents += amount * arrays["principal_directions"][index]
        for attribute, amount in self.attributes.items():
            if self.has(explorer, name, "attributes", attribute):
                index = explorer.directions(name).index(attribute)
                latents += amount * arrays["attribute_directions"][index]
        for index, amount in self.dimensions.items():
            if self.has(explorer, name, "dimensions", index):
                scale = arrays.get("variance_per_dimension", np.ones(model.latent_dim)) ** 0.5
                latents[:, index] += amount * scale[index]
        return latents

    def has(self, explorer: Explorer, name: str, kind: str, key: Any) -> bool:
        """Return whether a model has a direction."""
        if kind == "principal":
            return bool(key < len(explorer.arrays(name).get("principal_directions", ())))
        if kind == "attributes":
            return key in explorer.directions(name)
        return bool(key < explorer.models[name].latent_dim)

    def frames(self, explorer: Explorer, names: Sequence[str]) -> list[Image]:
        """Return the frames of an animation along the direction `moving`, from -3 to 3 and back."""
        assert self.moving is not None
        kind, key = self.moving
        frames = []
        for amount in sweep_amounts():
            moved: dict[str, Any] = {kind: {**getattr(self, kind), key: amount}}
            view = replace(self, **moved)
            frames.append(view.picture_of(explorer, view.render(explorer, names)))
        return frames

    def picture_of(self, explorer: Explorer, images: Mapping[str, Images]) -> Image:
        """Return what the script saves: the image of each model, from left to right."""
        row = np.concatenate(list(images.values()))
        return grid(row, columns=len(row), scale=2 * explorer.scale)

    def script(self, explorer: Explorer, names: Sequence[str]) -> str:
        """Return the lines of Python that save the picture and, with `moving`, the animation."""
        by_model = {name: self._labels_of(explorer, name) for name in names}
        definition, labels = scripts.label_lines("labels", by_model)
        pictures = {"picture": self.picture} if self.picture is not None else {}
        of_picture = {name: self._picture_labels_of(explorer, name) for name in names}
        own_definition, own_labels = scripts.label_lines("picture_labels", of_picture)
        starts = [
            *(own_definition if pictures else []),
            "starts = {}",
            *scripts.block("for name, model in models.items():", self._start_lines(own_labels)),
        ]
        move = [
            "latents = starts[name].copy()",
            *self._move_lines(explorer, names),
            f"images.append(model.decode(latents{labels}))",
        ]
        body = ["images = []", *scripts.block("for name, model in models.items():", move)]
        drawn = f"lb.grid(np.concatenate(images), columns={len(names)}, scale={2 * explorer.scale})"
        if self.moving is None:
            steps = [[*body, f"picture = {drawn}", 'picture.save("latent.png")']]
        else:
            kind, key = self.moving
            now = getattr(self, kind).get(key, 0.0)
            steps = [
                scripts.block("def draw(amount):", [*body, f"return {drawn}"]),
                [f'draw({now!r}).save("latent.png")'],
                [
                    f"way = np.linspace(-{LARGEST:g}, {LARGEST:g}, {NUM_FRAMES}).tolist()",
                    "frames = [draw(amount) for amount in way + way[::-1]]",
                    scripts.SAVE_GIF.format(name="latent", milliseconds=FRAME_MILLISECONDS),
                ],
            ]
        needs_arrays = any("study[" in line for line in [*starts, *move])
        return scripts.join(
            scripts.load_lines(explorer, names, arrays=needs_arrays),
            [*scripts.picture_lines(explorer, pictures), *definition, *starts],
            *steps,
        )

    def _start(self, explorer: Explorer, name: str) -> Latents:
        model = explorer.models[name]
        if self.picture is not None:
            return explorer.find_latents(name, self.picture, self.labels)
        if self.start == "mean":
            zeros = np.zeros(model.latent_dim, np.float32)
            mean: Latents = explorer.arrays(name).get("principal_mean", zeros)[None]
            return mean
        return model.latents(1, seed=self.seed)

    def _labels_of(self, explorer: Explorer, name: str) -> dict[str, float] | None:
        own = self.picture.labels if self.picture is not None else None
        return explorer.some_labels(name, self.labels, own)

    def _picture_labels_of(self, explorer: Explorer, name: str) -> dict[str, float] | None:
        own = self.picture.labels if self.picture is not None else None
        return explorer.some_labels(name, own, self.labels)

    def _start_lines(self, labels: str) -> list[str]:
        if self.picture is not None:
            return [scripts.FIND, f"starts[name] = find(picture{labels})"]
        if self.start == "mean":
            return [
                "zeros = np.zeros(model.latent_dim, np.float32)",
                'mean = study[name].latent_arrays.get("principal_mean", zeros)',
                "starts[name] = mean[None]",
            ]
        return [f"starts[name] = model.latents(1, seed={self.seed})"]

    def _move_lines(self, explorer: Explorer, names: Sequence[str]) -> list[str]:
        lines: list[str] = []
        for kind in KINDS:
            amounts = dict(getattr(self, kind))
            if self.moving is not None and self.moving[0] == kind:
                amounts.setdefault(self.moving[1], 0.0)
            for key, amount in amounts.items():
                number = "amount" if self.moving == (kind, key) else repr(amount)
                having = [name for name in names if self.has(explorer, name, kind, key)]
                move = _move_line(kind, key, number)
                if len(having) == len(names):
                    lines += move
                elif having:
                    lines += scripts.block(f"if name in {having!r}:", move)
        if any("arrays" in line for line in lines):
            lines.insert(0, "arrays = study[name].latent_arrays")
        return lines


def sweep_amounts() -> list[float]:
    """Return the amounts of the frames of an animation."""
    way: list[float] = np.linspace(-LARGEST, LARGEST, NUM_FRAMES).tolist()
    return way + way[::-1]


def _move_line(kind: str, key: Any, number: str) -> list[str]:
    if kind == "principal":
        return [f'latents += {number} * arrays["principal_directions"][{key}]']
    if kind == "attributes":
        names = '[row["attribute"] for row in study[name].latent["directions"]]'
        return [
            f"index = {names}.index({key!r})",
            f'latents += {number} * arrays["attribute_directions"][index]',
        ]
    return [
        'variances = arrays.get("variance_per_dimension", np.ones(model.latent_dim))',
        f"latents[:, {key}] += {number} * variances[{key}] ** 0.5",
    ]
