/* Files of KEY=VALUE lines: .env and what env_file names. */
#include "base/auto.h"
#include "workload/compose_reader.h"

struct lines {
    struct compose_reader *r;
    struct reader in;
    unsigned line;
    struct compose_pairs *out;
};

static struct compose_at here(const struct lines *l)
{
    return (struct compose_at){ l->line, 1 };
}

static int peek(const struct lines *l)
{
    return l->in.rest.n ? *l->in.rest.p : -1;
}

static int get(struct lines *l)
{
    uint8_t c;
    if (!rd_u8(&l->in, &c))
        return -1;
    if (c == 0)
        compose_fail(l->r, here(l), "a NUL byte");
    l->line += c == '\n';
    return c;
}

static void skip_blanks(struct lines *l)
{
    while (peek(l) == ' ' || peek(l) == '\t' || peek(l) == '\r')
        get(l);
}

static void skip_line(struct lines *l)
{
    int c;
    while ((c = peek(l)) >= 0 && c != '\n')
        get(l);
}

static void put(struct lines *l, int c)
{
    struct buf *b = &l->r->scratch;
    buf_u8(b, (uint8_t)c);
    if (b->failed || b->n > COMPOSE_SCALAR_MAX)
        compose_fail(l->r, here(l), "a value of more than %u bytes", COMPOSE_SCALAR_MAX);
}

static const char *take_scratch(struct lines *l)
{
    return compose_copy(l->r, buf_bytes(&l->r->scratch));
}

static bool name_byte(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.'
           || c == '-';
}

static const char *read_key(struct lines *l)
{
    for (int again = 0; again < 2; again++) {
        l->r->scratch.n = 0;
        while (name_byte(peek(l)))
            put(l, get(l));
        bool blank = peek(l) == ' ' || peek(l) == '\t';
        skip_blanks(l);
        if (again == 0 && blank && bytes_equal(buf_bytes(&l->r->scratch), bytes_str("export"))
            && name_byte(peek(l)))
            continue;
        break;
    }
    struct bytes name = buf_bytes(&l->r->scratch);
    if (!name.n || (name.p[0] >= '0' && name.p[0] <= '9'))
        compose_fail(l->r, here(l), "want NAME=value");
    return take_scratch(l);
}

/* To the closing quote, over several lines if need be; what \$ stands for must survive the variables. */
static const char *read_quoted(struct lines *l, int quote)
{
    unsigned began = l->line;
    int c;
    l->r->scratch.n = 0;
    get(l);
    while ((c = get(l)) != quote) {
        if (c < 0)
            compose_fail(l->r, (struct compose_at){ began, 1 }, "a quote is not closed");
        if (c != '\\' || quote == '\'') {
            const bool pair = c == '\\' && (peek(l) == quote || peek(l) == c);
            if (!pair || peek(l) == c)
                put(l, c);
            if (pair) /* 'Let\'s go'; two backslashes are two */
                put(l, get(l));
            continue;
        }
        static const char names[] = "nrt\"\\", bytes[] = "\n\r\t\"\\";
        c = get(l);
        const char *known = c > 0 ? strchr(names, c) : NULL;
        if (c == '$') {
            put(l, '$');
            put(l, '$');
        } else if (known) {
            put(l, bytes[known - names]);
        } else {
            compose_fail(l->r, here(l),
                         "\\ before a byte that it does not change: write \\\\ for a backslash");
        }
    }
    const char *text = take_scratch(l);
    skip_blanks(l);
    if (peek(l) == '#')
        skip_line(l);
    if (peek(l) >= 0 && peek(l) != '\n')
        compose_fail(l->r, here(l), "text after the closing quote");
    return text;
}

static const char *read_plain(struct lines *l)
{
    int before = '='; /* of a comment a blank comes before, and a value */
    struct buf *b = &l->r->scratch;
    b->n = 0;
    while (peek(l) >= 0 && peek(l) != '\n' && !(peek(l) == '#' && (before == ' ' || before == '\t')))
        put(l, before = get(l));
    skip_line(l);
    while (b->n && strchr(" \t\r", b->p[b->n - 1]))
        b->n--;
    return take_scratch(l);
}

static void add(struct lines *l, size_t *cap, const char *key, const char *value, struct compose_at at)
{
    struct compose_pairs *out = l->out;
    if (out->n == COMPOSE_VARIABLES_MAX)
        compose_fail(l->r, at, "more than %u variables", COMPOSE_VARIABLES_MAX);
    if (out->n == *cap) {
        struct compose_pair *old = out->item;
        *cap = *cap ? 2 * *cap : 16;
        out->item = compose_take(l->r, *cap, sizeof(*out->item));
        if (out->n)
            memcpy(out->item, old, out->n * sizeof(*out->item));
    }
    out->item[out->n++] = (struct compose_pair){ key, value, at };
}

static void read_line(struct lines *l, size_t *cap)
{
    struct compose_at at = here(l);
    const char *key = read_key(l), *value;
    if (peek(l) == '=') {
        get(l);
        skip_blanks(l);
        int c = peek(l);
        value = c == '"' || c == '\'' ? read_quoted(l, c) : read_plain(l);
        if (c != '\'')
            value = compose_interpolate(l->r, value, at);
    } else if (peek(l) < 0 || peek(l) == '\n' || peek(l) == '#') {
        skip_line(l);
        value = compose_variable(l->r, key, strlen(key));
    } else {
        compose_fail(l->r, at, "want = after %.60s", key);
    }
    add(l, cap, key, value, at);
}

void compose_dotenv(struct compose_reader *r, struct bytes text, const char *file, struct compose_pairs *out)
{
    static const uint8_t mark[] = { 0xEF, 0xBB, 0xBF };
    struct lines l = { .r = r, .in = reader_of(text), .line = 1, .out = out };
    size_t cap = 0;
    *out = (struct compose_pairs){ 0 };
    r->file = file;
    r->local = out;
    if (text.n >= sizeof(mark) && !memcmp(text.p, mark, sizeof(mark)) && !rd_skip(&l.in, sizeof(mark)))
        return;
    while (l.in.rest.n) {
        skip_blanks(&l);
        int c = peek(&l);
        if (c == '#')
            skip_line(&l);
        else if (c >= 0 && c != '\n')
            read_line(&l, &cap);
        get(&l); /* the line break */
    }
    r->file = NULL;
    r->local = NULL;
}

struct placed {
    struct compose_pair pair;
    size_t place;
};

static int by_key_then_place(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    int order = strcmp(x->pair.key, y->pair.key);
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

void compose_pairs_settle(struct compose_reader *r, struct compose_pairs *pairs)
{
    if (!pairs->n)
        return;
    struct placed *sorted = compose_take(r, pairs->n, sizeof(*sorted));
    struct compose_pair *kept = compose_take(r, pairs->n, sizeof(*kept));
    size_t n = 0;
    for (size_t i = 0; i < pairs->n; i++)
        sorted[i] = (struct placed){ pairs->item[i], i };
    qsort(sorted, pairs->n, sizeof(*sorted), by_key_then_place);
    for (size_t i = 0; i < pairs->n; i++) {
        bool last = i + 1 == pairs->n || strcmp(sorted[i].pair.key, sorted[i + 1].pair.key) != 0;
        if (last && sorted[i].pair.value)
            kept[n++] = sorted[i].pair;
    }
    *pairs = (struct compose_pairs){ n, kept };
}
