"""Map LaTeX and plain names of equations to Unicode characters."""

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "varepsilon": "ε",
    "zeta": "ζ", "eta": "η", "theta": "θ", "vartheta": "ϑ", "iota": "ι", "kappa": "κ",
    "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "omicron": "ο", "pi": "π", "varpi": "ϖ",
    "rho": "ρ", "varrho": "ϱ", "sigma": "σ", "varsigma": "ς", "tau": "τ", "upsilon": "υ",
    "phi": "ϕ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ",
    "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Upsilon": "Υ", "Phi": "Φ",
    "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip

# Large operators; those in LIMITS carry their bounds above and below.
LARGE = {
    "sum": "∑", "prod": "∏", "coprod": "∐", "int": "∫", "iint": "∬", "iiint": "∭", "oint": "∮",
    "bigcup": "⋃", "bigcap": "⋂", "bigvee": "⋁", "bigwedge": "⋀", "bigoplus": "⨁",
    "bigotimes": "⨂",
}  # fmt: skip
LIMITS = frozenset(LARGE) - {"int", "iint", "iiint", "oint"}

FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "coth",
        "exp",
        "log",
        "ln",
        "lg",
        "det",
        "dim",
        "ker",
        "deg",
        "gcd",
        "hom",
        "arg",
        "Pr",
        "lim",
        "max",
        "min",
        "sup",
        "inf",
        "limsup",
        "liminf",
        "argmax",
        "argmin",
        "sgn",
        "tr",
        "rank",
        "mod",
    ]
)
FUNCTIONS_WITH_LIMITS = frozenset(
    ["lim", "max", "min", "sup", "inf", "det", "gcd", "Pr", "limsup", "liminf", "argmax", "argmin"]
)

SYMBOLS = {
    "cdot": "⋅", "times": "×", "div": "÷", "pm": "±", "mp": "∓", "ast": "∗", "star": "⋆",
    "circ": "∘", "bullet": "∙", "oplus": "⊕", "otimes": "⊗", "ominus": "⊖", "odot": "⊙",
    "wedge": "∧", "vee": "∨", "land": "∧", "lor": "∨", "lnot": "¬", "neg": "¬", "cap": "∩",
    "cup": "∪", "setminus": "∖", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠",
    "neq": "≠", "ll": "≪", "gg": "≫", "lt": "<", "gt": ">", "approx": "≈", "equiv": "≡",
    "sim": "∼", "simeq": "≃", "cong": "≅", "propto": "∝", "prec": "≺", "succ": "≻",
    "preceq": "⪯", "succeq": "⪰", "perp": "⊥", "parallel": "∥", "mid": "∣", "nmid": "∤",
    "in": "∈", "notin": "∉", "ni": "∋", "subset": "⊂", "subseteq": "⊆", "supset": "⊃",
    "supseteq": "⊇", "emptyset": "∅", "varnothing": "∅", "forall": "∀", "exists": "∃",
    "nexists": "∄", "to": "→", "rightarrow": "→", "leftarrow": "←", "gets": "←",
    "leftrightarrow": "↔", "Rightarrow": "⇒", "Leftarrow": "⇐", "Leftrightarrow": "⇔",
    "implies": "⟹", "iff": "⟺", "mapsto": "↦", "uparrow": "↑", "downarrow": "↓",
    "rightleftharpoons": "⇌", "longrightarrow": "⟶", "longleftarrow": "⟵", "hookrightarrow": "↪",
    "infty": "∞", "partial": "∂", "nabla": "∇", "hbar": "ℏ", "ell": "ℓ", "Re": "ℜ", "Im": "ℑ",
    "aleph": "ℵ", "angle": "∠", "measuredangle": "∡", "triangle": "△", "square": "□",
    "degree": "°", "prime": "′", "dots": "…", "ldots": "…", "cdots": "⋯", "vdots": "⋮",
    "ddots": "⋱", "therefore": "∴", "because": "∵", "colon": ":", "langle": "⟨", "rangle": "⟩",
    "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "lvert": "|", "rvert": "|",
    "vert": "|", "Vert": "‖", "lVert": "‖", "rVert": "‖", "lbrace": "{", "rbrace": "}",
    "models": "⊨", "vdash": "⊢", "top": "⊤", "bot": "⊥", "dagger": "†", "complement": "∁",
    "backslash": "∖", "qed": "∎", "ohm": "Ω",
}  # fmt: skip

# What may be written without a backslash, besides functions and Greek letters.
PLAIN_NAMES = {"oo": "∞", "infinity": "∞", "degrees": "°"}
PLAIN_SIGNS = (
    ("<=>", "⇔"), ("...", "…"), ("<->", "↔"), ("<=", "≤"), (">=", "≥"), ("!=", "≠"), ("=>", "⇒"),
    ("->", "→"), ("+-", "±"), ("-+", "∓"), ("~=", "≈"), ("==", "≡"), ("**", "^"), (":=", "≔"),
)  # fmt: skip
SIGNS = {"-": "−", "*": "⋅", "~": "∼"} | {sign: sign for sign in "+=<>,;:.!?|()[]/%"}

ACCENTS = {
    "vec": "\u20d7", "hat": "\u0302", "widehat": "\u0302", "bar": "\u0304", "dot": "\u0307",
    "ddot": "\u0308", "tilde": "\u0303", "widetilde": "\u0303", "check": "\u030c",
    "breve": "\u0306", "acute": "\u0301", "grave": "\u0300", "mathring": "\u030a",
}  # fmt: skip
LINES = {
    "overline": "over", "underline": "under", "overbrace": "overbrace",
    "underbrace": "underbrace", "cancel": "cancel",
}  # fmt: skip
STYLES = {
    "mathbb": "bb", "mathcal": "cal", "mathscr": "cal", "mathfrak": "frak", "mathbf": "bold",
    "boldsymbol": "bold", "bm": "bold", "mathrm": "upright", "mathup": "upright",
    "mathit": "italic", "mathsf": "sans", "mathtt": "mono",
}  # fmt: skip
SPACES = {",": 0.17, ":": 0.22, ";": 0.28, " ": 0.25, "!": -0.17, "quad": 1.0, "qquad": 2.0}
WITHOUT_EFFECT = frozenset(
    [
        "displaystyle",
        "textstyle",
        "limits",
        "nolimits",
        "big",
        "Big",
        "bigg",
        "Bigg",
        "bigl",
        "bigr",
        "Bigl",
        "Bigr",
        "biggl",
        "biggr",
        "middle",
    ]
)
MATRICES = {
    "matrix": ("", ""), "pmatrix": ("(", ")"), "bmatrix": ("[", "]"), "Bmatrix": ("{", "}"),
    "vmatrix": ("|", "|"), "Vmatrix": ("‖", "‖"),
}  # fmt: skip
DELIMITERS = frozenset("()[]{}|‖⟨⟩⌊⌋⌈⌉/<>")
