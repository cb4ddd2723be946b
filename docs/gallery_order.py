"""The order in which the gallery teaches."""

ORDER = (
    # the problem, and what to believe
    *("two_surveys", "one_line", "line_gallery", "null_case", "counterfactual"),
    *("attribution", "twins", "calibration", "coverage_map", "support", "velocity"),
    # choosing
    *("comparison", "learning_curve", "resolution", "history", "embedding"),
    # results and your own data
    *("denoise", "abundances", "third_survey", "store", "catalogue", "model_file"),
)


class GalleryOrder:
    """Key by which Sphinx-Gallery sorts the names of examples."""

    def __init__(self, folder):
        pass

    def __call__(self, name):
        name = name.removeprefix("plot_").removesuffix(".py")
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)
