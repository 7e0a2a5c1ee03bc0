/* YAML over libyaml's events: one document, bounded nodes and depth, anchors and merge keys resolved,
 * variables replaced in values. Tags are refused: nothing in a compose file needs them, and some tools give
 * them a meaning. */
#include "base/auto.h"
#include "workload/compose_reader.h"

#include <yaml.h>

#define TAGS_MAX 16

struct anchor {
    const char *name;
    const struct yaml_node *node;
};

struct yaml_file {
    struct compose_reader *r;
    yaml_parser_t *parser;
    yaml_event_t *event; /* the one event that is held */
    bool held;
    struct bytes text;
    unsigned nodes, anchor_count;
    struct anchor anchors[COMPOSE_ANCHORS_MAX];
};

static struct compose_at at_of(yaml_mark_t mark)
{
    return (struct compose_at){ (unsigned)mark.line + 1, (unsigned)mark.column + 1 };
}

/* Of a byte: columns are characters, as libyaml counts them. */
static struct compose_at at_offset(struct bytes text, size_t offset)
{
    struct compose_at at = { 1, 1 };
    for (size_t i = 0; i < offset && i < text.n; i++) {
        bool begins = (text.p[i] & 0xC0) != 0x80;
        at = text.p[i] == '\n' ? (struct compose_at){ at.line + 1, 1 }
                               : (struct compose_at){ at.line, at.column + begins };
    }
    return at;
}

static void drop_event(struct yaml_file *f)
{
    if (f->held)
        yaml_event_delete(f->event);
    f->held = false;
}

static const yaml_event_t *next(struct yaml_file *f)
{
    drop_event(f);
    if (!yaml_parser_parse(f->parser, f->event)) {
        const yaml_parser_t *p = f->parser;
        struct compose_at at =
            p->error == YAML_READER_ERROR ? at_offset(f->text, p->problem_offset) : at_of(p->problem_mark);
        compose_fail(f->r, at, "not YAML: %.120s%s%.80s", p->problem ? p->problem : "cannot be read",
                     p->context ? " " : "", p->context ? p->context : "");
    }
    f->held = true;
    return f->event;
}

static const struct yaml_node *build(struct yaml_file *f, unsigned depth, bool is_key);

static void keep_anchor(struct yaml_file *f, const char *name, const struct yaml_node *node)
{
    if (!name)
        return;
    if (f->anchor_count == COMPOSE_ANCHORS_MAX)
        compose_fail(f->r, node->at, "more than %u anchors", COMPOSE_ANCHORS_MAX);
    f->anchors[f->anchor_count++] = (struct anchor){ name, node };
}

/* An anchor counts from the end of its node on, so an alias never leads back to where it stands. */
static const struct yaml_node *find_anchor(struct yaml_file *f, const char *name, struct compose_at at)
{
    for (unsigned i = f->anchor_count; i-- > 0;) {
        if (!strcmp(f->anchors[i].name, name))
            return f->anchors[i].node;
    }
    compose_fail(f->r, at, "*%.60s: no anchor of this name stands before", name);
}

static const char *copy_name(struct yaml_file *f, const yaml_char_t *name)
{
    return name ? compose_copy(f->r, bytes_str((const char *)name)) : NULL;
}

static struct yaml_node *new_node(struct yaml_file *f, enum yaml_kind kind, const yaml_event_t *e,
                                  const yaml_char_t *tag)
{
    struct compose_at at = at_of(e->start_mark);
    if (tag)
        compose_fail(f->r, at, "tag %.60s: tags are not supported: remove it", (const char *)tag);
    if (++f->nodes > COMPOSE_NODES_MAX)
        compose_fail(f->r, at, "more than %u values", COMPOSE_NODES_MAX);
    struct yaml_node *node = compose_take(f->r, 1, sizeof(*node));
    node->kind = kind;
    node->at = at;
    return node;
}

static const struct yaml_node *build_text(struct yaml_file *f, const yaml_event_t *e, bool is_key)
{
    const char *name = copy_name(f, e->data.scalar.anchor);
    struct yaml_node *node = new_node(f, YAML_TEXT, e, e->data.scalar.tag);
    struct bytes text = bytes_of(e->data.scalar.value, e->data.scalar.length);
    if (memchr(text.p, 0, text.n))
        compose_fail(f->r, node->at, "a NUL in a string");
    if (text.n > COMPOSE_SCALAR_MAX)
        compose_fail(f->r, node->at, "a string of more than %u bytes", COMPOSE_SCALAR_MAX);
    bool replaced = !is_key && memchr(text.p, '$', text.n); /* what variables make is a string, not null */
    node->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !replaced;
    node->text = compose_copy(f->r, text);
    if (!is_key)
        node->text = compose_interpolate(f->r, node->text, node->at);
    keep_anchor(f, name, node);
    return node;
}

static const struct yaml_node *build_list(struct yaml_file *f, const yaml_event_t *e, unsigned depth)
{
    const char *name = copy_name(f, e->data.sequence_start.anchor);
    struct yaml_node *node = new_node(f, YAML_LIST, e, e->data.sequence_start.tag);
    size_t cap = 0;
    while (next(f)->type != YAML_SEQUENCE_END_EVENT) {
        if (node->n == COMPOSE_LIST_MAX)
            compose_fail(f->r, node->at, "a list of more than %u items", COMPOSE_LIST_MAX);
        if (node->n == cap) {
            const struct yaml_node **old = node->item;
            cap = cap ? 2 * cap : 8;
            node->item = compose_take(f->r, cap, sizeof(struct yaml_node *));
            if (node->n)
                memcpy(node->item, old, node->n * sizeof(struct yaml_node *));
        }
        node->item[node->n++] = build(f, depth, false);
    }
    keep_anchor(f, name, node);
    return node;
}

/* ---- mappings ---- */

static struct yaml_pair *find_pair(const struct yaml_node *map, const char *key)
{
    for (size_t i = 0; i < map->n; i++) {
        if (!strcmp(map->pair[i].key, key))
            return &map->pair[i];
    }
    return NULL;
}

static void add_pair(struct yaml_file *f, struct yaml_node *map, size_t *cap, struct yaml_pair pair)
{
    if (map->n == COMPOSE_MEMBERS_MAX)
        compose_fail(f->r, map->at, "a mapping of more than %u members", COMPOSE_MEMBERS_MAX);
    if (map->n == *cap) {
        struct yaml_pair *old = map->pair;
        *cap = *cap ? 2 * *cap : 8;
        map->pair = compose_take(f->r, *cap, sizeof(*map->pair));
        if (map->n)
            memcpy(map->pair, old, map->n * sizeof(*map->pair));
    }
    map->pair[map->n++] = pair;
}

/* "<<": members that the mapping has itself win, then those of earlier mappings. Merged members count as
 * nodes, so that chains of merges stay bounded. */
static void merge(struct yaml_file *f, struct yaml_node *map, size_t *cap, const struct yaml_node *from)
{
    if (from->kind == YAML_LIST) {
        for (size_t i = 0; i < from->n; i++) {
            if (from->item[i]->kind != YAML_MAP)
                compose_fail(f->r, from->item[i]->at, "<<: want mappings");
            merge(f, map, cap, from->item[i]);
        }
        return;
    }
    if (from->kind != YAML_MAP)
        compose_fail(f->r, from->at, "<<: want a mapping, or a list of mappings");
    for (size_t i = 0; i < from->n; i++) {
        if (++f->nodes > COMPOSE_NODES_MAX)
            compose_fail(f->r, map->at, "more than %u values", COMPOSE_NODES_MAX);
        if (!find_pair(map, from->pair[i].key))
            add_pair(f, map, cap, from->pair[i]);
    }
}

static const struct yaml_node *build_map(struct yaml_file *f, const yaml_event_t *e, unsigned depth)
{
    const char *name = copy_name(f, e->data.mapping_start.anchor);
    struct yaml_node *map = new_node(f, YAML_MAP, e, e->data.mapping_start.tag);
    const struct yaml_node *merged = NULL;
    size_t cap = 0;
    while (next(f)->type != YAML_MAPPING_END_EVENT) {
        const struct yaml_node *key = build(f, depth, true);
        if (key->kind != YAML_TEXT)
            compose_fail(f->r, key->at, "a key must be a string");
        next(f);
        const struct yaml_node *value = build(f, depth, false);
        if (key->plain && !strcmp(key->text, "<<")) {
            if (merged)
                compose_fail(f->r, key->at, "duplicate key \"<<\": write one with a list");
            merged = value;
            continue;
        }
        if (find_pair(map, key->text))
            compose_fail(f->r, key->at, "duplicate key \"%.60s\"", key->text);
        add_pair(f, map, &cap, (struct yaml_pair){ key->text, key->at, value });
    }
    if (merged)
        merge(f, map, &cap, merged);
    keep_anchor(f, name, map);
    return map;
}

/* Builds the node that begins with the held event. */
static const struct yaml_node *build(struct yaml_file *f, unsigned depth, bool is_key)
{
    const yaml_event_t *e = f->event;
    struct compose_at at = at_of(e->start_mark);
    if (depth == COMPOSE_DEPTH_MAX)
        compose_fail(f->r, at, "nested deeper than %u levels", COMPOSE_DEPTH_MAX);
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return build_text(f, e, is_key);
    case YAML_SEQUENCE_START_EVENT:
        return build_list(f, e, depth + 1);
    case YAML_MAPPING_START_EVENT:
        return build_map(f, e, depth + 1);
    case YAML_ALIAS_EVENT:
        return find_anchor(f, (const char *)e->data.alias.anchor, at);
    default:
        compose_fail(f->r, at, "a value is missing");
    }
}

static const struct yaml_node *read_document(struct yaml_file *f)
{
    next(f); /* the stream's start */
    if (next(f)->type == YAML_STREAM_END_EVENT)
        compose_fail(f->r, (struct compose_at){ 1, 1 }, "the file is empty: want services:");
    next(f);
    const struct yaml_node *root = build(f, 0, false);
    next(f); /* the document's end */
    if (next(f)->type != YAML_STREAM_END_EVENT)
        compose_fail(f->r, at_of(f->event->start_mark), "a second document: want one");
    return root;
}

/* libyaml compares each %TAG directive with all before it: a megabyte of them takes minutes. Tags are refused
 * in any case. */
static void limit_tags(struct compose_reader *r, struct bytes text)
{
    static const char directive[] = "%TAG";
    const uint8_t *p = text.p, *end = text.p + text.n;
    for (unsigned n = 0; (p = memmem(p, (size_t)(end - p), directive, sizeof(directive) - 1)); p++) {
        if (++n > TAGS_MAX)
            compose_fail(r, at_offset(text, (size_t)(p - text.p)), "more than %u %%TAG directives", TAGS_MAX);
    }
}

/* libyaml's own objects are not in the reader's memory: a jump out is caught here, they are freed, and it
 * goes on. */
const struct yaml_node *compose_yaml(struct compose_reader *r, struct bytes text)
{
    yaml_parser_t parser;
    yaml_event_t event;
    struct yaml_file *f = compose_take(r, 1, sizeof(*f));
    const struct yaml_node *volatile root = NULL;
    jmp_buf outer;
    *f = (struct yaml_file){ .r = r, .parser = &parser, .event = &event, .text = text };
    limit_tags(r, text);
    if (!yaml_parser_initialize(&parser)) {
        compose_fail(r, (struct compose_at){ 1, 1 }, "no memory to read YAML");
    }
    yaml_parser_set_input_string(&parser, text.p, text.n);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    memcpy(&outer, &r->escape, sizeof(outer));
    if (setjmp(r->escape) == 0)
        root = read_document(f);
    memcpy(&r->escape, &outer, sizeof(outer));
    drop_event(f);
    yaml_parser_delete(&parser);
    if (!root)
        longjmp(r->escape, 1);
    return root;
}
