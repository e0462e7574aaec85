"""One score and one reference by a recipe, through the public functions."""

from eval import NETWORKS, Networks, Protocol, Reference, Score, evaluate, make_references


def setting(extractor, recipes) -> tuple[Protocol, Networks]:
    """A protocol of these recipes, and an extractor or network (or the path of one) that stands for theirs."""
    options = {NETWORKS[recipe.extractor].option for recipe in recipes}
    protocol = Protocol(recipes[0].protocol, "", tuple(recipe.score for recipe in recipes), tuple(recipes))
    return protocol, Networks(**dict.fromkeys(options, extractor))


def score(images, extractor, recipe, reference=None, **options) -> Score:
    protocol, networks = setting(extractor, [recipe])
    (one,) = evaluate(images, protocol, (recipe.score,), reference=reference, networks=networks, **options)
    return one


def make_reference(images, extractor, recipe, **options) -> Reference:
    protocol, networks = setting(extractor, [recipe])
    return make_references(images, protocol, (recipe.score,), networks=networks, **options)[recipe.score]
