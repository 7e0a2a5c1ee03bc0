#include "cli/commands.h"

#include "base/auto.h"
#include "base/enc.h"
#include "cli/diff.h"

#include <stdlib.h>
#include <string.h>

static int load(const char *path, struct diff_side *side)
{
    AUTO(free_u8) uint8_t *data = NULL;
    AUTO(json_drop) json_t *document = NULL;
    struct err err = { 0 };
    size_t n = 0;
    int rc = read_input(path, DOCUMENT_MAX, &data, &n);
    if (rc)
        return rc;
    side->path = path;
    if (json_parse(bytes_of(data, n), DOCUMENT_MAX, &document, &err) < 0
        || diff_side_read(document, side, &err) < 0)
        return fail_err(status_of(&err), path, "not a golden measurement or collaterals document", &err);
    return 0;
}

/* Values may hold a document's own words: none of their bytes may move a terminal's cursor. */
static void put_value(struct buf *out, const char *path, const char *value)
{
    buf_printf(out, "  %s: ", path);
    for (const char *p = *value ? value : "(not there)"; *p; p++)
        buf_u8(out, (unsigned char)*p < 0x20 || *p == 0x7F ? '?' : (uint8_t)*p);
    buf_u8(out, '\n');
}

static void put_event_line(struct buf *out, const char *path, const json_t *event)
{
    AUTO(buf_done) struct buf text = buf_new(1 << 20);
    if (json_is_null(event)) {
        put_value(out, path, "no further event");
        return;
    }
    const json_t *decoded = json_object_get(event, "decoded");
    const char *name = json_string_value(json_object_get(event, "type_name"));
    const char *digest = json_string_value(json_object_get(event, "digest"));
    if (json_is_object(decoded))
        json_put(&text, decoded, false);
    buf_printf(out, "  %s: %s%s%s %.*s\n", path, name ?: "", name ? " " : "", digest ?: "", (int)text.n,
               (const char *)buf_bytes(&text).p);
}

static int print_text(const struct diff_side *a, const struct diff_side *b, const struct diff *d,
                      const json_t *event)
{
    AUTO(buf_done) struct buf out = buf_new(SIZE_MAX / 2);
    if (!d->n)
        buf_printf(&out, "no difference in %zu registers\n", d->compared);
    else {
        buf_printf(&out, "%s differs\n", d->list[0].name);
        put_value(&out, a->path, d->list[0].a);
        put_value(&out, b->path, d->list[0].b);
    }
    if (event) {
        buf_printf(&out, "event %" JSON_INTEGER_FORMAT " of %s differs\n",
                   json_integer_value(json_object_get(event, "number")),
                   json_string_value(json_object_get(event, "register")));
        put_event_line(&out, a->path, json_object_get(event, "a"));
        put_event_line(&out, b->path, json_object_get(event, "b"));
    }
    for (size_t i = 1; i < d->n; i++)
        buf_printf(&out, "%s%s%s", i == 1 ? "also different: " : ", ", d->list[i].name,
                   i + 1 == d->n ? "\n" : "");
    return write_out(&out, NULL);
}

static int print_json(const struct diff *d, json_t *event)
{
    AUTO(json_drop) json_t *all = json_array();
    for (size_t i = 0; i < d->n; i++) {
        const struct difference *x = &d->list[i];
        json_array_append_new(all, json_pack("{s:s, s:o, s:o}", "register", x->name, "a",
                                             *x->a ? json_text(bytes_str(x->a)) : json_null(), "b",
                                             *x->b ? json_text(bytes_str(x->b)) : json_null()));
    }
    AUTO(json_drop)
    json_t *out =
        json_pack("{s:b, s:I, s:O?, s:O, s:O?}", "same", d->n == 0, "compared", (json_int_t)d->compared,
                  "first", json_array_get(all, 0), "differing", all, "event", event);
    return write_json(out);
}

static int run(int argc, char **argv)
{
    AUTO(diff_side_done) struct diff_side a = { 0 };
    AUTO(diff_side_done) struct diff_side b = { 0 };
    AUTO(diff_done) struct diff d = { 0 };
    AUTO(json_drop) json_t *event = NULL;
    const char *args[2] = { 0 };
    bool json = false;
    const struct option_row rows[] = { { "json", OPTION_FLAG, &json } };
    struct err err = { 0 };
    int rc = options_parse(&command_diff, argc, argv, rows, ARRAY_SIZE(rows), args, 2, 2);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (strcmp(args[0], "-") == 0 && strcmp(args[1], "-") == 0)
        return fail(STATUS_USAGE, "-", "standard input cannot be both documents", NULL);
    if ((rc = load(args[0], &a)) || (rc = load(args[1], &b)))
        return rc;
    if (diff_registers(&a, &b, &d, &err) < 0 || diff_event(&a, &b, &d, &event, &err) < 0)
        return fail_err(status_of(&err), "diff", "cannot compare", &err);
    rc = json ? print_json(&d, event) : print_text(&a, &b, &d, event);
    return rc ? rc : d.n ? STATUS_NO : STATUS_DONE;
}

const struct command command_diff = {
    "diff",
    "A.json B.json [--json]",
    "Names the first register that differs between two documents, and the event that explains it",
    "Each document is a golden measurement or a collaterals document. Two of a kind are compared in all "
    "that\n"
    "either has; a golden measurement and collaterals in what the former pins. PCRs 14 and 15 and RTMR3, "
    "which\n"
    "are histories, come last. Where a PCR or RTMR differs and both documents have its events (a boot log, "
    "or\n"
    "listed digests), the first event that differs is shown as the log describes it.\n"
    "\n"
    "  --json   "
    "{\"same\":false,\"first\":{\"register\":...,\"a\":...,\"b\":...},\"differing\":[...],\"event\":{...}}\n"
    "\n"
    "Exit status 0: no difference; 1: there is one. Nothing is verified here.\n",
    run,
};
