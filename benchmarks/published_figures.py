"""Published figures of brains and gliomas, and what the phantoms have instead.

Of the phantoms, heads, tumours and examinations are drawn as patients' are, but from seeds of their own. A figure is
here only if its source, or its abstract, says it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from limbeck.phantom import head, mimics, relaxation, signal, tumour
from limbeck.phantom.appearance import Painter
from limbeck.phantom.patient import grid
from limbeck.phantom.relaxation import Tissue
from limbeck.phantom.shapes import Points

# Of the heads that are drawn for their volumes.
HEAD_SPACING_MM = 2.0
EXAMINATIONS = 2000

Drawn = Mapping[str, NDArray[np.float64]]
Figures = dict[str, float]


def around(values: NDArray[np.float64]) -> str:
    """Mean and standard deviation, in digits that suit their size."""
    digits = 0 if abs(values.mean()) >= 100 else 2 if abs(values.mean()) < 10 else 1
    return f"{values.mean():.{digits}f} ± {values.std():.{digits}f}"


def middle(values: NDArray[np.float64]) -> str:
    """Median, and in brackets the quartiles."""
    low, half, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{half:.1f} ({low:.1f} to {high:.1f})"


def share(values: NDArray[np.float64]) -> str:
    """Share of ones among noughts and ones."""
    return f"{100 * values.mean():.1f} %"


# Statistic, what was published, where, what was drawn, and how it is told.
PUBLISHED: tuple[tuple[str, str, str, str, Callable[[NDArray[np.float64]], str]], ...] = (
    ("T1 of white matter, 1.5 T, ms", "646; 884 ± 50", "Wright 2008, MPRAGE; Stanisz 2005", "t1 WHITE 1.5", around),
    ("T1 of white matter, 3 T, ms", "838; 1084 ± 45", "Wright 2008, MPRAGE; Stanisz 2005", "t1 WHITE 3", around),
    ("T1 of white matter, 3 T, ms, across methods", "600 to 1100", "Assländer 2024", "t1 WHITE 3", around),
    ("T1 of cortex, 1.5 T, ms", "1197; 1124 ± 50", "Wright 2008, MPRAGE; Stanisz 2005", "t1 GREY 1.5", around),
    ("T1 of cortex, 3 T, ms", "1607; 1820 ± 114", "Wright 2008, MPRAGE; Stanisz 2005", "t1 GREY 3", around),
    ("T1 of putamen, here deep grey matter, 1.5 T, ms", "1084", "Wright 2008, MPRAGE", "t1 DEEP 1.5", around),
    ("T1 of putamen, here deep grey matter, 3 T, ms", "1332", "Wright 2008, MPRAGE", "t1 DEEP 3", around),
    ("T2 of white matter, 1.5 T, ms", "72 ± 4", "Stanisz 2005", "t2 WHITE 1.5", around),
    ("T2 of white matter, 3 T, ms", "69 ± 3", "Stanisz 2005", "t2 WHITE 3", around),
    ("T2 of grey matter, 1.5 T, ms", "95 ± 8", "Stanisz 2005", "t2 GREY 1.5", around),
    ("T2 of grey matter, 3 T, ms", "99 ± 7", "Stanisz 2005", "t2 GREY 3", around),
    (
        "fall of T1 by gadolinium, enhancing tumour, 3 T, ms",
        "838 ± 210",
        "Nöth 2020, 33 glioblastomas",
        "fall ET",
        around,
    ),
    ("fall of T1 by gadolinium, normal tissue, 3 T, ms", "32 ± 35", "Nöth 2020", "fall WHITE", around),
    ("brain with its fluid, ml", "men 1469 ± 102, women 1289 ± 111", "Matsumae 1996, intracranial", "all ml", around),
    ("brain without its fluid, ml", "men 1302 ± 112, women 1143 ± 105", "Matsumae 1996", "tissue ml", around),
    ("share of fluid", "11.4 %", "Matsumae 1996, intracranial", "fluid", share),
    (
        "grey over white matter, hemispheres",
        "1.3, 1.1, 1.5 at 20, 50, 100 years",
        "Miller 1980",
        "grey / white",
        around,
    ),
    ("thickness of the cortex, mm", "about 2.5, from 1 to 4.5", "Fischl and Dale 2000", "cortex mm", around),
    ("midline shift above 2 mm", "74 %, bound not told", "Gamburg 2000, 114 glioblastomas", "shifted 2", share),
    ("midline shift above 5 mm", "", "", "shifted 5", share),
    ("gliomas without enhancement", "18.5 %", "Scott 2002, 58 of 314", "plain", share),
    ("gliomas without enhancement", "19.8 %", "Eichberg 2020, 111 of 561", "plain", share),
    ("several foci, of those that enhance", "17.2 %", "J Clin Neurosci 2020, 7785 of 45268", "several", share),
    ("several foci, of those that enhance", "35 %; earlier series 0.5 to 20 %", "Thomas 2013", "several", share),
    (
        "enhancing tumour, ml, of those that enhance",
        "median 29.0; 42.4",
        "Grabowski 2014; Hamada 2016",
        "ET ml",
        middle,
    ),
    ("core, ml, of those that enhance", "the same, if dead parts were counted", "", "TC ml", middle),
)
SOURCES = (
    "Assländer, arXiv:2409.05318, the spread over the literature",
    'Eichberg et al., J Neurooncol 2020, "Incidence of high grade gliomas presenting as [...] non-enhancing lesions"',
    "Fischl and Dale, Proc Natl Acad Sci USA 2000;97:11050",
    "Gamburg et al., Int J Radiat Oncol Biol Phys 2000;48:1359",
    'Grabowski et al., J Neurosurg 2014, "Residual tumor volume versus extent of resection", 128 patients',
    "Hamada, Egypt J Neurol Psychiatr Neurosurg 2016;53:135, 59 patients",
    'J Clin Neurosci 2020, page 155, "Patterns of management and outcomes of unifocal versus multifocal glioblastoma"',
    "Matsumae et al., J Neurosurg 1996;84:982, 49 healthy adults",
    "Miller et al., Neuropathol Appl Neurobiol 1980;6:119, 130 hemispheres after death",
    'Nöth et al., NMR Biomed 2020, "Quantitative T1 mapping indicates tumor infiltration beyond the [...]"',
    "Scott et al., Neurology 2002;59:947",
    "Stanisz et al., Magn Reson Med 2005;54:507, bovine tissue at body temperature",
    'Thomas et al., J Neurooncol 2013, "The incidence and significance of multiple lesions in glioblastoma"',
    "Wright et al., MAGMA 2008;21:121",
)
MISSING = """\
No published figure that could be checked was found for: relaxation times of oedema, tumour, necrosis and of
cerebrospinal fluid in vivo; ratios of signals by sequence, which depend on the protocol; volumes of oedema and of the
whole tumour; ventricles; shapes; spectra of texture; how often skulls are stripped badly."""


def published(drawn: Drawn) -> Iterator[str]:
    """Lines of the comparison with published figures, in Markdown."""
    yield "Published figures: mean ± standard deviation, median, or share. Phantoms: the same, medians with quartiles;"
    yield "n counts cases, heads or examinations.\n"
    yield "| statistic | published | source | phantoms | n |"
    yield "|---|---|---|---|--:|"
    for statistic, figure, source, key, told in PUBLISHED:
        values = drawn.get(key, np.zeros(0))
        yield f"| {statistic} | {figure} | {source} | {told(values) if len(values) else ''} | {len(values)} |"
    yield "\nSources, from their abstracts or tables:\n"
    yield from (f"- {source}" for source in SOURCES)
    yield f"\n{MISSING}\n"


def examinations(count: int) -> Drawn:
    """Relaxation times as patients' are drawn: `t1 WHITE 3`, of the tissue at 3 T in ms, and so on; each `[count]`."""
    found: dict[str, list[float]] = defaultdict(list)
    for field in (1.5, 3.0):
        for index in range(count):
            constants = relaxation.draw(np.random.default_rng([index, round(10 * field)]), field)
            for tissue in Tissue:
                found[f"t1 {tissue.name} {field:g}"].append(float(constants.t1[tissue]))
                found[f"t2 {tissue.name} {field:g}"].append(float(constants.t2[tissue]))
    return {name: np.array(values) for name, values in found.items()}


def anatomies(count: int) -> Drawn:
    """Volumes of heads before any tumour presses on them, how far tumours press, and what gadolinium does at 3 T."""
    target = grid(HEAD_SPACING_MM)[2]
    found: dict[str, list[float]] = defaultdict(list, {"fall ET": [], "fall WHITE": []})
    for index in range(count):
        rng = np.random.default_rng([index])
        own, traits = tumour.plan(rng), head.traits(rng)
        at = head.place(rng, traits, head.DRAFT)
        moved, _ = tumour.pressed(at, own, -head.lobes(at)[0])
        anatomy = head.tissues(head.drawing(rng, traits, at), traits, target)
        for name, value in {**_volumes(anatomy), "cortex mm": traits.cortex}.items():
            found[name].append(value)
        shift = _midline_shift(at, moved)
        for bound in (2, 5):
            found[f"shifted {bound}"].append(float(shift > bound))
        lesion = tumour.grow(rng, own, anatomy, target)
        painter = Painter(rng, own, (anatomy, lesion, mimics.draw(rng, anatomy, target, traits.ventricles)), target)
        for name, value in _falls(painter).items():
            found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


def _volumes(anatomy: head.Head) -> Figures:
    """Volumes in ml, and their ratios."""
    litre = HEAD_SPACING_MM**3 / 1000
    inside, cerebrum = anatomy.rim < 0, anatomy.surface < 0
    whole, fluid = float(inside.sum()) * litre, float(anatomy.fluid[inside].sum()) * litre
    grey = float((anatomy.grey + anatomy.deep)[cerebrum].sum())
    return {
        "all ml": whole,
        "tissue ml": whole - fluid,
        "fluid": fluid / whole,
        "grey / white": grey / float(anatomy.white[cerebrum].sum()),
    }


def _midline_shift(at: Points, moved: Points) -> float:
    """How far, in mm, tissue of the midline was pushed aside at the height of the ventricles and the callosum."""
    central = (np.abs(at[0]) < 2) & (np.abs(at[1]) < 40) & (at[2] > -5) & (at[2] < 30)
    return float(np.abs(moved[0] - at[0])[central].max())


def _falls(painter: Painter) -> Figures:
    """By how many ms gadolinium shortens T1 at 3 T, where the patient was examined at 3 T, and enhances."""
    if painter.protocol.field_tesla < 2:
        return {}
    constants, relaxivity = painter.constants, painter.protocol.relaxivity

    def fall(tissue: Tissue, millimolar: NDArray[np.float64]) -> float:
        times = (constants.t1[tissue], constants.t2[tissue], constants.density[tissue])
        return float(np.mean(constants.t1[tissue] - signal.enhanced(times, relaxivity, millimolar)[0]))

    found = {"fall WHITE": fall(Tissue.WHITE, np.array([0.02]))}
    alive = painter.tumour.enhancing[(painter.tumour.core > 0.5) & (painter.tumour.enhancing > 0.4)]
    return found | ({"fall ET": fall(Tissue.SOLID, painter.dose * alive.astype(float))} if len(alive) else {})
