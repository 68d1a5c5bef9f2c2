"""Leaving a concept's words out of a prompt, or exchanging them: prompting's ways to remove it."""

from torch import Tensor

from htbench.steering.intervention import Intervention


class Omit(Intervention):
    """Prompting against a concept: its words are left out of the prompt at negative strength.

    The size of the strength does not matter, only its sign; above 0 the prompt asks for the
    concept.

    Args:
        template: the prompt that asks for the concept; `{prompt}` stands for the prompt.
        negation: the template of the prompt at negative strength, where `{prompt}` stands for the
            prompt without the concept's words; empty: that prompt itself.
    """

    kind = "omit"

    def __init__(self, *, template: str, negation: str = "") -> None:
        self.template, self.negation = template, negation

    def prompts(self, prompt: str, *, strength: float) -> dict[str, float]:
        if strength > 0:
            return {self.template.replace("{prompt}", prompt): 1.0}
        if strength == 0:
            return {prompt: 1.0}
        rest = _fill_of(self.template, prompt) or prompt
        return {self.negation.replace("{prompt}", rest) if self.negation else rest: 1.0}

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return {}, {"template": self.template, "negation": self.negation}


class Exchange(Intervention):
    """Prompting for a concept in place of another: its words take the place of the other's.

    Other prompts stay as they are, and so do all at strength 0 and below; above 0 the size of the
    strength does not matter.

    Args:
        old: the prompt that asks for the other concept; `{prompt}` stands for the prompt.
        new: the prompt that asks for the concept.
    """

    kind = "exchange"

    def __init__(self, *, old: str, new: str) -> None:
        self.old, self.new = old, new

    def prompts(self, prompt: str, *, strength: float) -> dict[str, float]:
        rest = _fill_of(self.old, prompt)
        return {self.new.replace("{prompt}", rest) if rest and strength > 0 else prompt: 1.0}

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return {}, {"old": self.old, "new": self.new}


def _fill_of(template: str, prompt: str) -> str:
    """The prompt that a template was filled with to give `prompt`; empty if it was not."""
    before, _, after = template.partition("{prompt}")
    rest = prompt.removeprefix(before).removesuffix(after)
    return rest if f"{before}{rest}{after}" == prompt else ""
