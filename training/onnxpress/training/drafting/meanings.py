"""What the settings of other projects mean in a recipe: key → the recipe's field and how the value is read.

Keys are compared without capitals, underscores and dashes, so that `batchSize`, `batch_size` and `BATCH_SIZE` are one.
The names are those of public projects: OpenSeizureDatabase's nnTraining2, classifiers of domains and autoencoders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Convert = Callable[[Any], Any]
"""the value in a recipe; None where it says nothing, ValueError with the reason where it has no place in one"""
Meaning = tuple[str, Convert]
"""the recipe's field by dotted path, and how the value is read"""


def whole(value: Any) -> int:
    """A whole number, also where it is written as text or 5.0."""
    found = number(value)
    if not found.is_integer():
        raise ValueError("no whole number")
    return int(found)


def number(value: Any) -> float:
    """A number, also where it is written as text."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise ValueError("no number") from None


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("no text")
    return value


def flag(value: Any) -> bool | None:
    """True, or nothing: a switch that is off is what a recipe has without it."""
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value or None


def files(value: Any) -> str | list[str] | None:
    """A file or several."""
    return [text(one) for one in value] if isinstance(value, list) else text(value)


def names(value: Any) -> list[str] | None:
    """A list of texts; nothing where there is none."""
    if value in (None, []):
        return None
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def sizes(value: Any) -> list[int]:
    """A size, or a list of them."""
    return [whole(one) for one in value] if isinstance(value, list) else [whole(value)]


def one_of(**known: str) -> Convert:
    """A word among these, and what it is called in a recipe."""

    def convert(value: Any) -> str:
        found = known.get(str(value).lower())
        if found is None:
            raise ValueError(f"onnxpress knows {', '.join(known)}")
        return found

    return convert


def no(reason: str) -> Meaning:
    """A setting that is known, and why it has no place in a recipe."""

    def convert(_: Any) -> Any:
        raise ValueError(reason)

    return "", convert


def _share(value: Any) -> float:
    found = number(value)
    if not 0 < found < 1:
        raise ValueError("no share between 0 and 1")
    return found


def _percentile(value: Any) -> float:
    found = number(value)
    return found * 100 if 0 < found < 1 else found


def _class_weights(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(label): number(weight) for label, weight in value.items()}
    if value in ("balanced", "auto", True):
        return "balanced"
    if value in (None, False, "none"):
        return None
    raise ValueError("balanced, or a number for each label")


def _folds(value: Any) -> int | None:
    found = whole(value)
    return found if found > 1 else None


def _balance(value: Any) -> str | None:
    if value in (None, False, "none", "None"):
        return None
    if str(value).lower() == "random":
        return "over"
    raise ValueError("rows are repeated, not made up; data.sample.balance is over or under")


def _under(value: Any) -> str | None:
    return None if value in (None, False, "none", "None") else "under"


def _datapoints(value: Any) -> int:
    found = whole(value)
    if found % 125 or not found:
        raise ValueError("windows are made of whole datapoints of 125 samples")
    return found // 125


def _axes(value: Any) -> str | None:
    if value in (["acc_magnitude"], "acc_magnitude"):
        return "magnitude"
    if not set(value) - {"acc_x", "acc_y", "acc_z"}:
        return None
    raise ValueError("the network reads the samples themselves")


def _both_ways(value: Any) -> None:
    if value is not True:
        raise ValueError("the LSTM reads the text both ways")


_COMBINED = one_of(any="any", union="any", all="all", intersection="all")

TRAINING: Mapping[str, Meaning] = {
    **dict.fromkeys(("epochs", "maxepochs", "numepochs", "nepochs"), ("training.epochs", whole)),
    "batchsize": ("training.batch_size", whole),
    **dict.fromkeys(
        ("lr", "learningrate", "initlr", "initiallearningrate", "lrstart"), ("training.learning_rate", number)
    ),
    **dict.fromkeys(("lrpeak", "peaklr", "lrmax", "maxlr"), ("training.schedule.peak", number)),
    **dict.fromkeys(("lrfinal", "finallr", "lrend", "endlr"), ("training.schedule.final", number)),
    **dict.fromkeys(("warmupepochs", "warmup", "rampupepochs", "lrwarmupepochs"), ("training.warm_up", whole)),
    **dict.fromkeys(("holdepochs", "lrholdepochs", "sustainepochs"), ("training.schedule.hold", whole)),
    "betas": ("training.betas", lambda value: [number(one) for one in value]),
    **dict.fromkeys(("patience", "earlystoppingpatience"), ("training.patience", whole)),
    "optimizer": ("training.optimizer", one_of(adam="adam", adamw="adamw")),
    "useadamw": ("training.optimizer", lambda value: "adamw" if flag(value) else None),
    "weightdecay": ("training.weight_decay", number),
    **dict.fromkeys(
        ("clipnorm", "gradclip", "gradclipnorm", "maxgradnorm", "gradientclipnorm"), ("training.clip_norm", number)
    ),
    **dict.fromkeys(
        ("validationsplit", "valsplit", "valsize", "valprop", "validationprop", "validationsize"),
        ("training.validation_share", _share),
    ),
    **dict.fromkeys(("testsize", "testsplit", "testprop"), ("training.held_out_share", _share)),
    **dict.fromkeys(("seed", "randomseed", "randomstate"), ("training.seed", whole)),
    **dict.fromkeys(("kfolds", "kfold", "nfolds", "cvfolds", "folds"), ("training.folds", _folds)),
    **dict.fromkeys(("lrfactor", "reducelrfactor", "plateaufactor"), ("training.plateau.factor", number)),
    **dict.fromkeys(("lrpatience", "reducelrpatience", "plateaupatience"), ("training.plateau.patience", whole)),
    **dict.fromkeys(("lrmin", "minlr", "plateauminlr"), ("training.plateau.minimum", number)),
    **dict.fromkeys(("classweight", "classweights"), ("training.class_weights", _class_weights)),
    **dict.fromkeys(("usebalancedbatches", "balancedbatches"), ("training.balanced_batches", flag)),
    "framework": ("framework", one_of(pytorch="pytorch", torch="pytorch", tensorflow="tensorflow", keras="tensorflow")),
    **dict.fromkeys(
        ("labelcolumn", "targetcolumn", "labelcol", "targetcol", "target", "yname"), ("data.target", text)
    ),
    **dict.fromkeys(
        ("datapath", "dataset", "datasetpath", "datafile", "csvpath", "trainfile", "traindata", "inputfile"),
        ("data.path", files),
    ),
    **dict.fromkeys(("numclasses", "nclasses"), no("classes are told from the labels")),
    **dict.fromkeys(("vocabsize", "maxfeatures"), no("the vocabulary is told from the training rows")),
    **dict.fromkeys(("loss", "lossfunction"), no("the loss follows from the family")),
    **dict.fromkeys(("verbose", "debug", "trainingverbosity", "logdir", "device"), no("how it is run, not what")),
}  # fmt: skip
"""what any project may set"""

SEIZURES: Mapping[str, Meaning] = {
    **TRAINING,
    **dict.fromkeys(("datafiles", "osdbfiles"), ("data.path", files)),
    "window": ("data.datapoints", _datapoints),
    "step": ("data.step", _datapoints),
    "features": ("data.axes", _axes),
    "useseizuretimesconstraint": ("data.seizure_times", lambda value: "cut" if flag(value) else None),
    "seizuretimerange": no("only events that have seizureTimes of their own are cut: data.seizure_times"),
    "splittesttrainbyevent": (
        "data.group", lambda value: "id" if flag(value) else text("")
    ),
    "noiseaugmentationfactor": ("model.augmentation.copies", whole),
    "noiseaugmentationvalue": ("model.augmentation.noise_mg", number),
    "phaseaugmentation": ("model.augmentation.phase", bool),
    "useraugmentation": ("model.augmentation.even_groups", flag),
    "oversample": ("data.sample.balance", _balance),
    "undersample": ("data.sample.balance", _under),
    "modelselectionmetric": ("training.select.metric", text),
    "includetypes": ("data.only.types", names),
    "includesubtypes": ("data.only.sub_types", names),
    "includeuserids": ("data.only.users", names),
    "excludetypes": ("data.without.types", names),
    "excludesubtypes": ("data.without.sub_types", names),
    "excludeuserids": ("data.without.users", names),
    "invalidevents": no("events are not left out by their number; filter them by type, user or date"),
    **dict.fromkeys(("dropout", "dropoutrate"), ("model.dropout", number)),
    **dict.fromkeys(("filters", "convfilters", "numfilters"), ("model.filters", sizes)),
    **dict.fromkeys(("kernelsize", "convkernelsize"), ("model.kernel", whole)),
    **dict.fromkeys(("denseunits", "denselayers"), ("model.dense", sizes)),
    "modelclass": no("the network is cnn14; a network of your own is model: module:attribute"),
}  # fmt: skip
"""OpenSeizureDatabase's user_tools/nnTraining and nnTraining2"""

DOMAINS: Mapping[str, Meaning] = {
    **TRAINING,
    **dict.fromkeys(
        ("maxlength", "maxlen", "sequencelength", "maxdomainlength", "maxseqlength", "inputlength"),
        ("model.length", whole),
    ),
    **dict.fromkeys(("embeddingdim", "embeddingsize", "embeddim", "embedding"), ("model.embedding", whole)),
    **dict.fromkeys(("lstmunits", "lstmhidden", "lstmhiddendim", "hiddendim", "lstmsize"), ("model.lstm", whole)),
    **dict.fromkeys(("convfilters", "cnnfilters", "filters", "numfilters", "convunits"), ("model.convolutions", sizes)),
    "kernelsize": ("model.kernel", whole),
    "poolsize": ("model.pool", whole),
    **dict.fromkeys(("attentionunits", "attentiondim"), ("model.attention", whole)),
    **dict.fromkeys(("denseunits", "denselayers", "fcunits"), ("model.dense", sizes)),
    **dict.fromkeys(("dropout", "dropoutrate"), ("model.dropout", number)),
    **dict.fromkeys(("charset", "alphabet", "characters"), ("model.alphabet", text)),
    **dict.fromkeys(
        ("textcolumn", "domaincolumn", "urlcolumn", "textcol", "domaincol", "inputcolumn"), ("model.text", text)
    ),
    **dict.fromkeys(("positivelabel", "positiveclass"), ("model.positive", text)),
    "bidirectional": ("", _both_ways),
    **dict.fromkeys(
        ("samplesperclass", "maxsamplesperclass", "maxperclass", "nperclass"), ("data.sample.per_class", whole)
    ),
    **{
        f"{label}{kind}": (f"data.files.{label}", files)
        for label in ("benign", "legit", "legitimate", "malicious", "phishing", "malware", "dga", "spam")
        for kind in ("file", "files", "path", "paths", "data", "datapath", "dataset", "json", "csv", "domains")
    },
}
"""classifiers of domains and URLs by a CNN and an LSTM over characters"""

ANOMALIES: Mapping[str, Meaning] = {
    **TRAINING,
    **dict.fromkeys(("thresholdpercentile", "percentile"), ("model.threshold_percentile", _percentile)),
    **dict.fromkeys(("contamination", "iforestcontamination"), ("model.isolation_forest.contamination", number)),
    **dict.fromkeys(("nestimators", "ntrees", "trees"), ("model.isolation_forest.trees", whole)),
    **dict.fromkeys(
        ("ensemblemethod", "combine", "combination", "combinationmethod"),
        ("model.combine", lambda value: None if value == "weighted" else _COMBINED(value)),
    ),
    "maxsamples": ("model.isolation_forest.rows", lambda value: None if value == "auto" else whole(value)),
    **dict.fromkeys(("autoencoderweight", "aeweight"), ("model.combine.weighted.autoencoder", number)),
    **dict.fromkeys(
        ("isolationforestweight", "iforestweight", "ifweight", "forestweight"),
        ("model.combine.weighted.isolation_forest", number),
    ),
    **dict.fromkeys(("normallabel", "normalclass"), ("model.normal", text)),
    **dict.fromkeys(("dropout", "dropoutrate"), ("model.dropout", number)),
    **dict.fromkeys(("falsealarmcost", "falsepositivecost", "fpcost"), ("model.cost.false_alarm", number)),
    **dict.fromkeys(("missedcost", "falsenegativecost", "fncost"), ("model.cost.missed", number)),
    **dict.fromkeys(("numericfeatures", "numericalfeatures", "numericcolumns", "numericalcolumns"), ("+scale", names)),
    **dict.fromkeys(("categoricalfeatures", "categoricalcolumns"), ("+onehot", names)),
    **dict.fromkeys(("dropcolumns", "ignorecolumns", "excludecolumns"), ("+drop", names)),
    **dict.fromkeys(
        ("encodingdim", "latentdim", "bottleneck", "hiddenlayers", "hiddendims"),
        no("hidden layers are shares of the width in a recipe: model.hidden"),
    ),
}
"""autoencoders with an isolation forest; `+scale` and the like add columns with that action"""
