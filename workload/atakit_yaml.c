#include "workload/atakit_yaml.h"

#include "base/auto.h"

/* A line with its depth; empty lines belong to the scalar that they are in. */
struct line {
    struct bytes text; /* with its indentation, without the line break */
    size_t indent;
    unsigned number;
};

static bool next_line(struct bytes *rest, struct line *l)
{
    if (!rest->n)
        return false;
    const uint8_t *end = memchr(rest->p, '\n', rest->n);
    size_t n = end ? (size_t)(end - rest->p) : rest->n, indent = 0;
    l->text = bytes_of(rest->p, n);
    while (indent < n && rest->p[indent] == ' ')
        indent++;
    l->indent = indent;
    l->number++;
    *rest = end ? bytes_of(end + 1, rest->n - n - 1) : bytes_of(NULL, 0);
    return true;
}

static bool is_empty(const struct line *l)
{
    return l->indent == l->text.n;
}

static bool text_is(const struct line *l, const char *s)
{
    return bytes_equal(l->text, bytes_str(s));
}

static int odd(const struct line *l, const char *what, struct err *err)
{
    return err_set(err, ERR_INPUT, 0,
                   "docker-compose.yml, line %u: not in the normal form of this scheme: %s", l->number, what);
}

/* "    key:" or "    key: value" → its place in the serialiser's order. @return -1: none */
static int key_place(const struct line *l)
{
    static const char *const keys[] = { "image",    "command", "entrypoint", "environment",
                                        "env_file", "ports",   "volumes",    "restart" };
    struct bytes key = bytes_of(l->text.p + 4, l->text.n - 4);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        size_t n = strlen(keys[i]);
        if (key.n > n && !memcmp(key.p, keys[i], n) && key.p[n] == ':'
            && (key.n == n + 1 || key.p[n + 1] == ' '))
            return (int)i;
    }
    return -1;
}

struct layout {
    bool services, volumes, scalar; /* scalar: inside a block scalar */
    int place;                      /* of the last key of this service */
};

/* "- " at the depth of its key is how the serialiser writes list items. */
static int check_line(struct layout *s, const struct line *l, struct err *err)
{
    bool item = l->text.n > 5 && l->text.p[4] == '-' && l->text.p[5] == ' ';
    if (l->indent == 0) {
        bool first = text_is(l, "services:") && !s->services, second = text_is(l, "volumes:") && s->services;
        if (!first && !(second && !s->volumes))
            return odd(l, "want services:, then volumes:", err);
        s->volumes = second;
        s->services = true;
    } else if (l->indent == 2) {
        s->place = -1;
        if (!s->services || l->text.p[2] == '#')
            return odd(l, "a comment, or nothing of services: and volumes:", err);
        if (s->volumes && (l->text.n < 9 || memcmp(l->text.p + l->text.n - 6, ": null", 6) != 0))
            return odd(l, "want the volume's name and \": null\"", err);
    } else if (l->indent == 4 && !item) {
        int place = key_place(l);
        if (s->volumes || place <= s->place)
            return odd(l,
                       "want image, command, entrypoint, environment, env_file, ports, volumes, restart, in "
                       "this order and each once",
                       err);
        s->place = place;
    } else if (l->indent < 4 || s->volumes) {
        return odd(l, "another depth than the serialiser writes", err);
    }
    return 0;
}

static bool opens_scalar(const struct line *l)
{
    static const char *const marks[] = { " |", " |-", " |+", " >", " >-", " >+" };
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
        size_t n = strlen(marks[i]);
        if (l->text.n > n && !memcmp(l->text.p + l->text.n - n, marks[i], n))
            return true;
    }
    return false;
}

int atakit_yaml_check(struct bytes yaml, struct err *err)
{
    struct layout s = { .place = -1 };
    struct line l = { .number = 0 };
    size_t scalar = 0; /* depth of the key that a block scalar belongs to, plus one */
    while (next_line(&yaml, &l)) {
        if (scalar && (is_empty(&l) || l.indent >= scalar))
            continue;
        scalar = 0;
        if (is_empty(&l))
            return odd(&l, "an empty line", err);
        if (check_line(&s, &l, err) < 0)
            return -1;
        scalar = opens_scalar(&l) ? l.indent + 1 : 0;
    }
    return s.services ? 0 : err_set(err, ERR_INPUT, 0, "docker-compose.yml has no services");
}

/* The lines of the member whose key stands in that line of the file. */
static struct bytes member(struct bytes yaml, unsigned number)
{
    struct line l = { .number = 0 };
    struct bytes rest = yaml, from = bytes_of(NULL, 0);
    bool inside = false;
    for (struct bytes before = rest; next_line(&rest, &l); before = rest) {
        if (l.number == number) {
            from = before;
            inside = true;
        } else if (inside && !is_empty(&l) && l.indent <= 2) {
            return bytes_of(from.p, (size_t)(before.p - from.p));
        }
    }
    return from;
}

static int put_volume(struct bytes yaml, const char *name, struct buf *out, struct err *err)
{
    struct line l = { .number = 0 };
    bool volumes = false;
    size_t n = strlen(name);
    while (next_line(&yaml, &l)) {
        if (l.indent == 0 && !is_empty(&l))
            volumes = text_is(&l, "volumes:");
        if (!volumes || l.indent != 2)
            continue;
        size_t quote = l.text.p[2] == '\'' || l.text.p[2] == '"';
        const uint8_t *key = l.text.p + 2 + quote;
        size_t left = l.text.n - 2 - quote;
        if (left <= n || memcmp(key, name, n) != 0 || (quote ? key[n] != l.text.p[2] : key[n] != ':'))
            continue;
        buf_put(out, l.text);
        buf_u8(out, '\n');
        return 0;
    }
    return err_set(err, ERR_INPUT, 0, "docker-compose.yml: no volume %.100s below volumes:", name);
}

int atakit_yaml_service(struct bytes yaml, unsigned line, const char *const *volumes, size_t n,
                        struct buf *out, struct err *err)
{
    struct bytes lines = member(yaml, line);
    buf_str(out, "services:\n");
    buf_put(out, lines);
    if (lines.n && lines.p[lines.n - 1] != '\n')
        buf_u8(out, '\n');
    if (n)
        buf_str(out, "volumes:\n");
    for (size_t i = 0; i < n; i++)
        if (put_volume(yaml, volumes[i], out, err) < 0)
            return -1;
    return buf_check(out, "isolated compose file", err);
}
