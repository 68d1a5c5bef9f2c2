"""Leaving a concept's words out of a prompt, which is prompting's way to remove it."""

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
        rest = self._without_concept(prompt)
        return {self.negation.replace("{prompt}", rest) if self.negation else rest: 1.0}

    def _without_concept(self, prompt: str) -> str:
        """The prompt that the template was filled with; the prompt itself if it was not."""
        before, _, after = self.template.partition("{prompt}")
        rest = prompt.removeprefix(before).removesuffix(after)
        return rest if rest and f"{before}{rest}{after}" == prompt else prompt

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        return {}, {"template": self.template, "negation": self.negation}
