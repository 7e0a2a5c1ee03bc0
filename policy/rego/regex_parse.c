#include "policy/rego/regex_parse.h"

#include "base/auto.h"
#include "policy/rego/text.h"

#define DEPTH_MAX  200
#define REPEAT_MAX 1000
#define RANGES_MAX 2000
#define LAST_CODE  0x10FFFFu

struct flags {
    bool fold, lines, dot_all, swap;
};

struct reader_of_regex {
    struct arena *arena;
    struct bytes text;
    size_t at;
    unsigned depth;
    struct flags flags;
    bool bad;
};

static struct regex_node *new_node(struct reader_of_regex *r, enum regex_kind kind)
{
    struct regex_node *n = arena_zero(r->arena, 1, sizeof(*n));
    n->kind = (uint8_t)kind;
    return n;
}

static struct regex_node *invalid(struct reader_of_regex *r)
{
    r->bad = true;
    r->at = r->text.n;
    return new_node(r, R_EMPTY);
}

static void unsupported(struct reader_of_regex *r, const char *what)
{
    arena_fail(r->arena, ERR_INPUT, "regular expression: %s is not supported, at offset %zu", what, r->at);
}

static int peek(const struct reader_of_regex *r)
{
    return r->at < r->text.n ? r->text.p[r->at] : -1;
}

static bool take(struct reader_of_regex *r, const char *word)
{
    size_t n = strlen(word);
    if (r->text.n - r->at < n || memcmp(r->text.p + r->at, word, n) != 0)
        return false;
    r->at += n;
    return true;
}

static uint32_t take_code(struct reader_of_regex *r)
{
    uint32_t c;
    r->at += text_utf8_get((const char *)r->text.p + r->at, r->text.n - r->at, &c);
    return c;
}

static void add_range(struct reader_of_regex *r, struct regex_node *set, uint32_t from, uint32_t to)
{
    if (set->n == RANGES_MAX)
        unsupported(r, "a class of so many ranges");
    set->range = arena_grow(r->arena, set->range, set->n, &set->cap, sizeof(*set->range));
    set->range[set->n++] = (struct regex_range){ from, to };
}

/* Both cases of ASCII letters. Beyond ASCII, folding has tables of its own: a range with letters there is
 * refused. */
static void add_folded(struct reader_of_regex *r, struct regex_node *set, uint32_t from, uint32_t to)
{
    add_range(r, set, from, to);
    if (!r->flags.fold)
        return;
    if (to > 0x7F && !(from <= 0x80 && to == LAST_CODE))
        unsupported(r, "case folding beyond ASCII");
    for (uint32_t c = from; c <= to && c < 0x80; c++) {
        if (c >= 'a' && c <= 'z')
            add_range(r, set, c - 32, c - 32);
        if (c >= 'A' && c <= 'Z')
            add_range(r, set, c + 32, c + 32);
        if (c == 'k' || c == 'K')
            add_range(r, set, 0x212A, 0x212A); /* the Kelvin sign */
        if (c == 's' || c == 'S')
            add_range(r, set, 0x17F, 0x17F); /* the long s */
    }
}

static void sort_ranges(struct regex_range *v, uint32_t n)
{
    for (uint32_t gap = n / 2; gap; gap /= 2)
        for (uint32_t i = gap; i < n; i++)
            for (uint32_t k = i; k >= gap && v[k].from < v[k - gap].from; k -= gap) {
                struct regex_range t = v[k];
                v[k] = v[k - gap];
                v[k - gap] = t;
            }
}

static void negate(struct reader_of_regex *r, struct regex_node *set)
{
    struct regex_range *old = set->range;
    uint32_t n = set->n, next = 0;
    sort_ranges(old, n);
    set->range = NULL;
    set->n = set->cap = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (old[i].from > next)
            add_range(r, set, next, old[i].from - 1);
        if (old[i].to >= next)
            next = old[i].to + 1;
    }
    if (next <= LAST_CODE)
        add_range(r, set, next, LAST_CODE);
}

/* \d and the like, and [:alpha:] and the like: ranges of ASCII in pairs. */
static bool named_class(const char *name, size_t n, const char **pairs)
{
    static const struct {
        const char *name, *pairs;
    } table[] = { { "d", "09" },       { "w", "09AZ__az" },    { "s", "\t\n\f\r  " },   { "alnum", "09AZaz" },
                  { "alpha", "AZaz" }, { "blank", "\t\t  " },  { "digit", "09" },       { "graph", "!~" },
                  { "lower", "az" },   { "print", " ~" },      { "punct", "!/:@[`{~" }, { "space", "\t\r  " },
                  { "upper", "AZ" },   { "word", "09AZ__az" }, { "xdigit", "09AFaf" } };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (strlen(table[i].name) == n && memcmp(table[i].name, name, n) == 0) {
            *pairs = table[i].pairs;
            return true;
        }
    return false;
}

static void add_pairs(struct reader_of_regex *r, struct regex_node *set, const char *pairs, bool negated)
{
    struct regex_node part = { .kind = R_SET };
    for (; *pairs; pairs += 2)
        add_folded(r, &part, (uint8_t)pairs[0], (uint8_t)pairs[1]);
    if (negated)
        negate(r, &part);
    for (uint32_t i = 0; i < part.n; i++)
        add_range(r, set, part.range[i].from, part.range[i].to);
}

static int hex_digit(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 87
           : c >= 'A' && c <= 'F' ? c - 55
                                  : -1;
}

/* After \x: two digits, or any in braces. */
static bool hex_code(struct reader_of_regex *r, uint32_t *c)
{
    bool braces = take(r, "{");
    int digits = 0;
    *c = 0;
    for (; (braces || digits < 2) && hex_digit(peek(r)) >= 0; digits++, r->at++) {
        *c = *c << 4 | (uint32_t)hex_digit(peek(r));
        if (*c > LAST_CODE)
            return false;
    }
    return braces ? digits && take(r, "}") : digits == 2;
}

/* An escape that stands for one character; false if it is none. The backslash has been read. */
static bool escaped_code(struct reader_of_regex *r, uint32_t *c)
{
    static const char from[] = "aftnrv", to[] = "\a\f\t\n\r\v";
    int k = peek(r);
    const char *at = k > 0 ? strchr(from, k) : NULL;
    if (k < 0)
        return false;
    r->at++;
    if (at) {
        *c = (uint8_t)to[at - from];
        return true;
    }
    if (k == 'x')
        return hex_code(r, c);
    if (k >= '0' && k <= '7') {
        if (k != '0' && !(peek(r) >= '0' && peek(r) <= '7'))
            return false; /* a back reference */
        *c = (uint32_t)k - '0';
        for (int i = 1; i < 3 && peek(r) >= '0' && peek(r) <= '7'; i++)
            *c = *c * 8 + (uint32_t)(r->text.p[r->at++] - '0');
        return true;
    }
    *c = (uint32_t)k;
    return k < 0x80 && !((k >= 'a' && k <= 'z') || (k >= 'A' && k <= 'Z') || (k >= '0' && k <= '9'));
}

/* \d \D \w \W \s \S; false with nothing taken if it is none. */
static bool escaped_class(struct reader_of_regex *r, struct regex_node *set)
{
    const char *pairs;
    int k = r->at + 1 < r->text.n ? r->text.p[r->at + 1] : -1;
    if (peek(r) != '\\' || k < 0)
        return false;
    if (k == 'p' || k == 'P')
        unsupported(r, "a class of Unicode");
    char low = (char)(k >= 'A' && k <= 'Z' ? k + 32 : k);
    if (!strchr("dws", low) || !named_class(&low, 1, &pairs))
        return false;
    add_pairs(r, set, pairs, k < 'a');
    r->at += 2;
    return true;
}

static bool posix_class(struct reader_of_regex *r, struct regex_node *set)
{
    size_t start = r->at;
    const char *pairs;
    if (!take(r, "[:"))
        return false;
    bool negated = take(r, "^");
    size_t from = r->at;
    while (peek(r) >= 'a' && peek(r) <= 'z')
        r->at++;
    size_t n = r->at - from;
    if (!take(r, ":]")) {
        r->at = start;
        return false;
    }
    if (n < 2 || !named_class((const char *)r->text.p + from, n, &pairs)) {
        r->bad = true;
        return true;
    }
    add_pairs(r, set, pairs, negated);
    return true;
}

static bool class_code(struct reader_of_regex *r, uint32_t *c)
{
    if (peek(r) < 0)
        return false;
    if (take(r, "\\"))
        return escaped_code(r, c);
    *c = take_code(r);
    return true;
}

static struct regex_node *parse_class(struct reader_of_regex *r)
{
    struct regex_node *set = new_node(r, R_SET);
    bool negated = take(r, "^");
    for (bool first = true; first || peek(r) != ']'; first = false) {
        uint32_t from, to;
        if (peek(r) < 0 || r->bad)
            return invalid(r);
        if (posix_class(r, set) || escaped_class(r, set))
            continue;
        if (!class_code(r, &from))
            return invalid(r);
        to = from;
        if (peek(r) == '-' && r->at + 1 < r->text.n && r->text.p[r->at + 1] != ']') {
            r->at++;
            if (!class_code(r, &to) || to < from)
                return invalid(r);
        }
        add_folded(r, set, from, to);
    }
    r->at++;
    if (negated)
        negate(r, set);
    return set;
}

static struct regex_node *parse_alternatives(struct reader_of_regex *r);

static struct regex_node *assertion(struct reader_of_regex *r, enum regex_assert what)
{
    struct regex_node *n = new_node(r, R_ASSERT);
    n->what = (uint8_t)what;
    return n;
}

/* (?flags) and (?flags: after the question mark; true if a group's body follows. */
static bool parse_flags(struct reader_of_regex *r, bool *group)
{
    bool on = true, any = false;
    for (;; r->at++) {
        int c = peek(r);
        bool *flag = c == 'i'   ? &r->flags.fold
                     : c == 'm' ? &r->flags.lines
                     : c == 's' ? &r->flags.dot_all
                     : c == 'U' ? &r->flags.swap
                                : NULL;
        if (flag) {
            *flag = on;
            any = true;
        } else if (c == '-' && on) {
            on = false;
            any = false;
        } else if ((c == ':' || c == ')') && (on || any)) {
            r->at++;
            *group = c == ':';
            return true;
        } else {
            return false;
        }
    }
}

static bool group_name(struct reader_of_regex *r)
{
    size_t start = r->at;
    while (peek(r) >= 0
           && (peek(r) == '_' || hex_digit(peek(r)) >= 0 || (peek(r) >= 'A' && peek(r) <= 'Z')
               || (peek(r) >= 'a' && peek(r) <= 'z')))
        r->at++;
    return r->at > start && take(r, ">");
}

static struct regex_node *parse_group(struct reader_of_regex *r)
{
    struct flags outer = r->flags;
    bool body = true;
    if (take(r, "?P<")
        || (!(r->text.n - r->at > 2 && (r->text.p[r->at + 2] == '=' || r->text.p[r->at + 2] == '!'))
            && take(r, "?<"))) {
        if (!group_name(r))
            return invalid(r);
    } else if (take(r, "?") && !parse_flags(r, &body)) {
        return invalid(r);
    }
    if (!body)
        return new_node(r, R_EMPTY); /* the flags hold to the end of the group around */
    if (++r->depth > DEPTH_MAX)
        unsupported(r, "such deep nesting");
    struct regex_node *n = parse_alternatives(r);
    r->depth--;
    r->flags = outer;
    return take(r, ")") ? n : invalid(r);
}

static struct regex_node *parse_escape(struct reader_of_regex *r)
{
    struct regex_node *set = new_node(r, R_SET);
    uint32_t c;
    if (escaped_class(r, set))
        return set;
    r->at++;
    if (take(r, "A"))
        return assertion(r, AT_TEXT_START);
    if (take(r, "z"))
        return assertion(r, AT_TEXT_END);
    if (take(r, "b"))
        return assertion(r, AT_WORD);
    if (take(r, "B"))
        return assertion(r, NOT_AT_WORD);
    if (peek(r) == 'Q' || peek(r) == 'C')
        unsupported(r, "\\Q or \\C");
    if (!escaped_code(r, &c))
        return invalid(r);
    add_folded(r, set, c, c);
    return set;
}

static struct regex_node *parse_atom(struct reader_of_regex *r)
{
    struct regex_node *set;
    uint32_t c;
    switch (peek(r)) {
    case '(':
        r->at++;
        return parse_group(r);
    case '[':
        r->at++;
        return parse_class(r);
    case '\\':
        return parse_escape(r);
    case '^':
        r->at++;
        return assertion(r, r->flags.lines ? AT_LINE_START : AT_TEXT_START);
    case '$':
        r->at++;
        return assertion(r, r->flags.lines ? AT_LINE_END : AT_TEXT_END);
    case '.':
        r->at++;
        set = new_node(r, R_SET);
        add_range(r, set, 0, r->flags.dot_all ? LAST_CODE : '\n' - 1);
        if (!r->flags.dot_all)
            add_range(r, set, '\n' + 1, LAST_CODE);
        return set;
    case '*':
    case '+':
    case '?':
        return invalid(r);
    default:
        set = new_node(r, R_SET);
        c = take_code(r);
        add_folded(r, set, c, c);
        return set;
    }
}

static bool read_count(struct reader_of_regex *r, int *n)
{
    size_t start = r->at;
    for (*n = 0; peek(r) >= '0' && peek(r) <= '9'; r->at++)
        *n = *n > REPEAT_MAX ? *n : 10 * *n + (peek(r) - '0');
    return r->at > start;
}

/* {n}, {n,}, {n,m}; anything else in braces is plain text. */
static bool parse_counts(struct reader_of_regex *r, int *min, int *max)
{
    size_t start = r->at;
    bool ok = take(r, "{") && read_count(r, min);
    *max = *min;
    if (ok && take(r, ",")) {
        *max = -1;
        if (peek(r) != '}')
            ok = read_count(r, max);
    }
    if (ok && take(r, "}"))
        return true;
    r->at = start;
    return false;
}

static bool parse_repeat(struct reader_of_regex *r, int *min, int *max)
{
    *min = 0;
    *max = -1;
    if (take(r, "*"))
        return true;
    if (take(r, "+")) {
        *min = 1;
        return true;
    }
    if (take(r, "?")) {
        *max = 1;
        return true;
    }
    return parse_counts(r, min, max);
}

static struct regex_node *parse_repeated(struct reader_of_regex *r)
{
    struct regex_node *n = parse_atom(r);
    int min, max, times = 0;
    while (!r->bad && parse_repeat(r, &min, &max)) {
        if (times++ || min > REPEAT_MAX || max > REPEAT_MAX || (max >= 0 && max < min))
            return invalid(r);
        struct regex_node *of = new_node(r, R_REPEAT);
        of->min = min;
        of->max = max;
        of->item = arena_alloc(r->arena, sizeof(*of->item));
        of->item[0] = n;
        of->n = 1;
        n = of;
        take(r, "?"); /* lazy: finds the same */
    }
    return n;
}

static struct regex_node *parse_sequence(struct reader_of_regex *r)
{
    struct regex_node *cat = new_node(r, R_CAT);
    while (!r->bad && peek(r) >= 0 && peek(r) != '|' && peek(r) != ')') {
        cat->item = arena_grow(r->arena, cat->item, cat->n, &cat->cap, sizeof(*cat->item));
        struct regex_node *n = parse_repeated(r);
        cat->item[cat->n++] = n;
    }
    return cat;
}

static struct regex_node *parse_alternatives(struct reader_of_regex *r)
{
    struct regex_node *alt = new_node(r, R_ALT);
    do {
        alt->item = arena_grow(r->arena, alt->item, alt->n, &alt->cap, sizeof(*alt->item));
        struct regex_node *n = parse_sequence(r);
        alt->item[alt->n++] = n;
    } while (!r->bad && take(r, "|"));
    return alt;
}

struct regex_node *regex_parse(struct arena *a, struct bytes pattern)
{
    struct reader_of_regex r = { .arena = a, .text = pattern };
    struct regex_node *n = parse_alternatives(&r);
    return r.bad || r.at < pattern.n ? NULL : n;
}
