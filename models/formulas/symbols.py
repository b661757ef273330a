"""Map LaTeX and plain names of formulas to Unicode characters."""

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "varepsilon": "ε",
    "zeta": "ζ", "eta": "η", "theta": "θ", "vartheta": "ϑ", "iota": "ι", "kappa": "κ",
    "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "omicron": "ο", "pi": "π", "varpi": "ϖ",
    "rho": "ρ", "varrho": "ϱ", "sigma": "σ", "varsigma": "ς", "tau": "τ", "upsilon": "υ",
    "phi": "ϕ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ",
    "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Upsilon": "Υ", "Phi": "Φ",
    "Psi": "Ψ", "Omega": "Ω", "varkappa": "ϰ",
}  # fmt: skip
GREEK |= {f"var{name}": GREEK[name] for name in GREEK if name[0].isupper()}
GREEK |= {f"up{name}": GREEK[name] for name in ("alpha", "beta", "gamma", "delta", "mu", "pi")}

# Large operators; those in LIMITS carry their bounds above and below.
LARGE = {
    "sum": "∑", "prod": "∏", "coprod": "∐", "int": "∫", "iint": "∬", "iiint": "∭", "oint": "∮",
    "oiint": "∯", "oiiint": "∰", "iiiint": "⨌", "bigcup": "⋃", "bigcap": "⋂", "bigvee": "⋁",
    "bigwedge": "⋀", "bigoplus": "⨁", "bigotimes": "⨂", "bigodot": "⨀",
}  # fmt: skip
LIMITS = frozenset(LARGE) - {"int", "iint", "iiint", "oint", "oiint", "oiiint", "iiiint"}

FUNCTIONS = frozenset([
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh",
    "tanh", "coth", "exp", "log", "ln", "lg", "det", "dim", "ker", "deg", "gcd", "hom", "arg",
    "Pr", "lim", "max", "min", "sup", "inf", "limsup", "liminf", "argmax", "argmin", "sgn",
    "tr", "rank", "mod",
])  # fmt: skip
FUNCTIONS_WITH_LIMITS = frozenset([
    "lim", "max", "min", "sup", "inf", "det", "gcd", "lcm", "Pr", "limsup", "liminf", "argmax",
    "argmin", "injlim", "projlim",
])  # fmt: skip
# The words of FUNCTIONS stand without a backslash too; these do not.
COMMAND_FUNCTIONS = frozenset([
    "injlim", "projlim", "tg", "ctg", "arctg", "arcctg", "sh", "ch", "th", "Tr", "Hom", "grad",
    "rot", "curl", "erf", "diag", "lcm", "rank", "Var", "Cov", "Arg", "Res", "sgn", "sech",
    "csch", "arsinh", "arcosh", "artanh", "arccot",
])  # fmt: skip

SYMBOLS = {
    "cdot": "⋅", "times": "×", "div": "÷", "pm": "±", "mp": "∓", "ast": "∗", "star": "⋆",
    "circ": "∘", "bullet": "∙", "oplus": "⊕", "otimes": "⊗", "ominus": "⊖", "odot": "⊙",
    "oslash": "⊘", "wedge": "∧", "vee": "∨", "land": "∧", "lor": "∨", "lnot": "¬", "neg": "¬",
    "cap": "∩", "cup": "∪", "setminus": "∖", "smallsetminus": "∖", "sqcup": "⊔", "sqcap": "⊓",
    "uplus": "⊎", "wr": "≀", "diamond": "⋄", "triangleleft": "◁",
    "triangleright": "▷", "bigtriangleup": "△", "bigcirc": "◯", "ltimes": "⋉", "rtimes": "⋊",
    "barwedge": "⊼", "veebar": "⊻", "dotplus": "∔", "boxplus": "⊞", "boxtimes": "⊠",
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "ll": "≪", "gg": "≫",
    "lll": "⋘", "ggg": "⋙", "lt": "<", "gt": ">", "leqslant": "⩽", "geqslant": "⩾", "leqq": "≦",
    "geqq": "≧", "lesssim": "≲", "gtrsim": "≳", "nless": "≮", "ngtr": "≯", "nleq": "≰",
    "ngeq": "≱", "lneq": "⪇", "gneq": "⪈", "approx": "≈", "approxeq": "≊", "equiv": "≡",
    "sim": "∼", "nsim": "≁", "simeq": "≃", "cong": "≅", "ncong": "≇", "propto": "∝",
    "varpropto": "∝", "asymp": "≍", "doteq": "≐", "coloneqq": "≔", "coloneq": "≔",
    "eqqcolon": "≕", "triangleq": "≜", "prec": "≺", "succ": "≻", "preceq": "⪯", "succeq": "⪰",
    "bowtie": "⋈", "frown": "⌢", "smile": "⌣",
    "perp": "⊥", "parallel": "∥", "nparallel": "∦", "mid": "∣", "nmid": "∤",
    "divides": "∣", "in": "∈", "notin": "∉", "ni": "∋", "owns": "∋", "subset": "⊂",
    "subseteq": "⊆", "subsetneq": "⊊", "nsubseteq": "⊈", "supset": "⊃", "supseteq": "⊇",
    "supsetneq": "⊋", "nsupseteq": "⊉", "sqsubseteq": "⊑", "sqsupseteq": "⊒", "emptyset": "∅",
    "varnothing": "∅", "forall": "∀", "exists": "∃", "nexists": "∄", "to": "→",
    "rightarrow": "→", "leftarrow": "←", "gets": "←", "leftrightarrow": "↔", "nrightarrow": "↛",
    "nleftarrow": "↚", "Rightarrow": "⇒", "Leftarrow": "⇐", "Leftrightarrow": "⇔",
    "nRightarrow": "⇏", "implies": "⟹", "impliedby": "⟸", "iff": "⟺", "mapsto": "↦",
    "longmapsto": "⟼", "uparrow": "↑", "downarrow": "↓", "updownarrow": "↕", "Uparrow": "⇑",
    "Downarrow": "⇓", "Updownarrow": "⇕", "nearrow": "↗", "searrow": "↘", "swarrow": "↙",
    "nwarrow": "↖", "rightleftharpoons": "⇌", "leftrightharpoons": "⇋", "rightharpoonup": "⇀",
    "rightharpoondown": "⇁", "leftharpoonup": "↼", "leftharpoondown": "↽",
    "longrightarrow": "⟶", "longleftarrow": "⟵", "longleftrightarrow": "⟷",
    "Longrightarrow": "⟹", "Longleftarrow": "⟸", "Longleftrightarrow": "⟺",
    "hookrightarrow": "↪", "hookleftarrow": "↩", "twoheadrightarrow": "↠", "leadsto": "⇝",
    "rightsquigarrow": "⇝", "rightrightarrows": "⇉", "infty": "∞", "partial": "∂",
    "nabla": "∇", "hbar": "ℏ", "hslash": "ℏ", "ell": "ℓ", "wp": "℘", "Re": "ℜ", "Im": "ℑ",
    "imath": "ı", "jmath": "ȷ", "aleph": "ℵ", "beth": "ℶ", "eth": "ð", "angle": "∠",
    "measuredangle": "∡", "sphericalangle": "∢", "triangle": "△", "square": "□", "Box": "□",
    "Diamond": "◇", "lozenge": "◊", "blacksquare": "■", "bigstar": "★", "degree": "°",
    "prime": "′", "backprime": "‵", "dots": "…", "ldots": "…", "dotsc": "…", "dotso": "…",
    "cdots": "⋯", "dotsb": "⋯", "dotsm": "⋯", "dotsi": "⋯", "vdots": "⋮", "ddots": "⋱",
    "therefore": "∴", "because": "∵", "colon": ":", "langle": "⟨", "rangle": "⟩",
    "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "lvert": "|", "rvert": "|",
    "vert": "|", "Vert": "‖", "lVert": "‖", "rVert": "‖", "lbrace": "{", "rbrace": "}",
    "lbrack": "[", "rbrack": "]", "ulcorner": "⌜", "urcorner": "⌝", "models": "⊨",
    "vDash": "⊨", "Vdash": "⊩", "vdash": "⊢", "nvdash": "⊬", "nvDash": "⊭", "dashv": "⊣",
    "top": "⊤", "bot": "⊥", "dagger": "†", "ddagger": "‡", "complement": "∁", "surd": "√",
    "backslash": "∖", "qed": "∎", "ohm": "Ω", "sharp": "♯", "flat": "♭", "natural": "♮",
    "clubsuit": "♣", "diamondsuit": "♦", "heartsuit": "♥", "spadesuit": "♠", "checkmark": "✓",
    "pounds": "£", "euro": "€", "copyright": "©", "S": "§", "P": "¶", "AA": "Å", "aa": "å",
    "R": "ℝ", "N": "ℕ", "Z": "ℤ", "Q": "ℚ", "C": "ℂ",
    "slash": "/", "And": "&", "lq": "‘", "rq": "’", "quotedblbase": "„", "micro": "μ",
    "upharpoonright": "↾", "restriction": "↾", "circledast": "⊛", "between": "≬",
    "blacktriangleright": "▸", "vartriangle": "△", "textdegree": "°", "celsius": "℃",
}  # fmt: skip

# \not before a symbol.
NEGATED = {
    "=": "≠", "<": "≮", ">": "≯", "∈": "∉", "∋": "∌", "≤": "≰", "≥": "≱", "≡": "≢", "∼": "≁",
    "≃": "≄", "≅": "≇", "≈": "≉", "⊂": "⊄", "⊃": "⊅", "⊆": "⊈", "⊇": "⊉", "∃": "∄", "∣": "∤",
    "∥": "∦", "→": "↛", "←": "↚", "↔": "↮", "⇒": "⇏", "⇐": "⇍", "⇔": "⇎", "⊢": "⊬", "⊨": "⊭",
    "≺": "⊀", "≻": "⊁", "|": "∤",
}  # fmt: skip

# What may be written without a backslash, besides functions and Greek letters.
PLAIN_NAMES = {"oo": "∞", "infinity": "∞", "degrees": "°"}
PLAIN_SIGNS = (
    ("<=>", "⇔"), ("...", "…"), ("<->", "↔"), ("<=", "≤"), (">=", "≥"), ("!=", "≠"), ("=>", "⇒"),
    ("->", "→"), ("+-", "±"), ("-+", "∓"), ("~=", "≈"), ("==", "≡"), ("**", "^"), (":=", "≔"),
)  # fmt: skip
SIGNS = {"-": "−", "*": "⋅", "’": "′"} | {sign: sign for sign in "+=<>,;:.!?|()[]/%"}

ACCENTS = {
    "vec": "\u20d7", "hat": "\u0302", "widehat": "\u0302", "bar": "\u0304", "dot": "\u0307",
    "ddot": "\u0308", "dddot": "\u20db", "ddddot": "\u20dc", "tilde": "\u0303",
    "widetilde": "\u0303", "check": "\u030c", "widecheck": "\u030c", "breve": "\u0306",
    "acute": "\u0301", "grave": "\u0300", "mathring": "\u030a", "overrightarrow": "\u2192",
    "overleftarrow": "\u2190", "overleftrightarrow": "\u2194", "overrightharpoon": "\u20d1",
}  # fmt: skip
LINES = {
    "overline": "over", "underline": "under", "overparen": "overparen", "wideparen": "overparen",
    "overarc": "overparen", "underparen": "underparen", "overbracket": "overbracket",
    "underbracket": "underbracket", "cancel": "cancel", "bcancel": "cancel", "xcancel": "cancel",
    "sout": "cancel", "boxed": "boxed", "fbox": "boxed", "phantom": "phantom",
    "hphantom": "phantom", "vphantom": "nothing", "mathrel": "relation", "mathbin": "binary",
    "mathop": "large", "mathord": "plain", "mathopen": "plain", "mathclose": "plain",
    "mathpunct": "plain", "mathinner": "plain", "mathstrut": "nothing", "smash": "plain",
    "ensuremath": "plain", "hbox": "plain", "mathrlap": "plain", "mathllap": "plain",
    "mathclap": "plain", "rlap": "plain", "llap": "plain",
}  # fmt: skip
STYLES = {
    "mathbb": "bb", "Bbb": "bb", "mathcal": "cal", "mathscr": "scr", "mathfrak": "frak",
    "frak": "frak", "mathbf": "bold", "boldsymbol": "bold", "bm": "bold", "pmb": "bold",
    "mathbfit": "bold", "symbf": "bold", "mathrm": "upright", "mathup": "upright",
    "symrm": "upright", "mathnormal": "italic", "mathit": "italic", "mathsf": "sans",
    "mathtt": "mono",
}  # fmt: skip
# Of old: what follows in the group is set so.
SWITCHES = {"rm": "upright", "bf": "bold", "it": "italic", "sf": "sans", "tt": "mono",
            "cal": "cal", "mit": "italic", "bfseries": "bold", "rmfamily": "upright"}  # fmt: skip
TEXTS = frozenset([
    "text", "textrm", "mbox", "textnormal", "textup", "textbf", "textit", "textsf", "texttt",
    "textsc", "emph", "intertext", "shortintertext",
])  # fmt: skip
SPACES = {
    ",": 0.17, ":": 0.22, ">": 0.22, ";": 0.28, " ": 0.25, "!": -0.17, "/": 0.05, "\n": 0.25,
    "quad": 1.0, "qquad": 2.0, "enspace": 0.5, "thinspace": 0.17, "medspace": 0.22,
    "thickspace": 0.28, "negthinspace": -0.17, "space": 0.25, "nobreakspace": 0.25, "hfill": 1.0,
    "enskip": 0.5,
}  # fmt: skip
WITHOUT_EFFECT = frozenset([
    "displaystyle", "textstyle", "scriptstyle", "scriptscriptstyle", "limits", "nolimits",
    "nonumber", "notag", "relax", "allowbreak", "nobreak", "break", "strut", "centering",
    "normalsize", "small", "large", "Large", "tiny", "mathsurround", "displaylimits", "par",
    "noindent", "hline", "-",
])  # fmt: skip
SIZES = {
    f"{size}{side}": factor
    for size, factor in {"big": 1.2, "Big": 1.8, "bigg": 2.4, "Bigg": 3.0}.items()
    for side in ("", "l", "r", "m")
}
ARROWS = {
    "xrightarrow": "→", "xleftarrow": "←", "xleftrightarrow": "↔", "xRightarrow": "⇒",
    "xLeftarrow": "⇐", "xLeftrightarrow": "⇔", "xmapsto": "↦", "xlongequal": "=",
    "xrightleftharpoons": "⇌", "xleftrightharpoons": "⇋", "xhookrightarrow": "↪",
    "xrightharpoonup": "⇀", "xtwoheadrightarrow": "↠",
}  # fmt: skip
MATRICES = {
    "matrix": ("", ""), "pmatrix": ("(", ")"), "bmatrix": ("[", "]"), "Bmatrix": ("{", "}"),
    "vmatrix": ("|", "|"), "Vmatrix": ("‖", "‖"), "smallmatrix": ("", ""),
}  # fmt: skip
ALIGNED = frozenset([
    "aligned", "align", "alignedat", "alignat", "split", "eqnarray", "flalign", "gather",
    "gathered", "equation", "multline", "displaymath", "math",
])  # fmt: skip
DELIMITERS = frozenset("()[]{}|‖⟨⟩⌊⌋⌈⌉/<>⌜⌝↑↓↕⇑⇓⇕∖")
RELATIONS = frozenset("=<>≤≥≠≈≡∼≃≅→⟹⟺⇒⇔↔⟶↦≔≪≫∝⩽⩾≜")
BINARY = frozenset("+−±∓⋅×÷∪∩∧∨⊕⊗")
