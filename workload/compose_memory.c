#include "base/auto.h"
#include "workload/compose_reader.h"

#include <errno.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>

#define CHUNK ((size_t)64 << 10)

struct chunk {
    struct chunk *below;
    size_t at, size;
    alignas(max_align_t) uint8_t mem[];
};

struct compose_memory {
    struct chunk *top;
    size_t reserved;
};

struct compose_memory *compose_memory_new(void)
{
    return calloc(1, sizeof(struct compose_memory));
}

void compose_memory_free(struct compose_memory *m)
{
    while (m && m->top) {
        struct chunk *below = m->top->below;
        free(m->top);
        m->top = below;
    }
    free(m);
}

/* The jump: what is held lies in the memory and in the scratch buffer, and compose_parse() frees both. */
__attribute__((noreturn)) static void out_of_memory(struct compose_reader *r, bool over)
{
    if (over)
        err_set(r->err, ERR_TOO_LARGE, 0,
                "the compose file needs more than %u MiB of memory: aliases or variables multiply it",
                COMPOSE_MEMORY_MAX >> 20);
    else
        err_set(r->err, ERR_IO, ENOMEM, "no memory to read the compose file");
    longjmp(r->escape, 1);
}

void *compose_take(struct compose_reader *r, size_t count, size_t size)
{
    struct compose_memory *m = r->memory;
    if (count > COMPOSE_MEMORY_MAX / size)
        out_of_memory(r, true);
    size_t n = (count * size + 15) & ~(size_t)15;
    if (!m->top || n > m->top->size - m->top->at) {
        size_t chunk = n > CHUNK ? n : CHUNK;
        if (chunk > COMPOSE_MEMORY_MAX - m->reserved)
            out_of_memory(r, true);
        struct chunk *c = calloc(1, sizeof(*c) + chunk);
        if (!c)
            out_of_memory(r, false);
        *c = (struct chunk){ .below = m->top, .size = chunk };
        m->top = c;
        m->reserved += chunk;
    }
    void *p = m->top->mem + m->top->at;
    m->top->at += n;
    return p;
}

char *compose_copy(struct compose_reader *r, struct bytes text)
{
    char *p = compose_take(r, text.n + 1, 1);
    memcpy(p, text.p, text.n);
    return p;
}

char *compose_printf(struct compose_reader *r, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *p = compose_take(r, (size_t)(n < 0 ? 0 : n) + 1, 1);
    vsnprintf(p, (size_t)(n < 0 ? 0 : n) + 1, fmt, again);
    va_end(again);
    return p;
}

void compose_fail(struct compose_reader *r, struct compose_at at, const char *fmt, ...)
{
    char text[sizeof(r->err->cause)];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (r->file)
        err_set(r->err, ERR_INPUT, 0, "%.80s, line %u: %s", r->file, at.line, text);
    else
        err_set(r->err, ERR_INPUT, 0, "line %u, column %u: %s", at.line, at.column, text);
    longjmp(r->escape, 1);
}

/* Warnings belong to the compose, also where what is read does not. */
static void keep_warning(struct compose_reader *r, struct compose_at at, const char *text)
{
    struct compose *c = r->c;
    for (size_t i = 0; i < c->warning_count; i++) {
        const struct compose_warning *w = &c->warnings[i];
        if (w->at.line == at.line && w->at.column == at.column && !strcmp(w->text, text))
            return;
    }
    if (!c->warnings)
        c->warnings = compose_take(r, COMPOSE_WARNINGS_MAX, sizeof(*c->warnings));
    if (c->warning_count < COMPOSE_WARNINGS_MAX)
        c->warnings[c->warning_count++] = (struct compose_warning){ compose_copy(r, bytes_str(text)), at };
}

void compose_warn(struct compose_reader *r, struct compose_at at, const char *fmt, ...)
{
    struct compose_memory *const mine = r->memory;
    char text[512], whole[640];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    snprintf(whole, sizeof(whole), "%.80s, line %u: %s", r->file ? r->file : "", at.line, text);
    if (r->c->memory)
        r->memory = r->c->memory;
    keep_warning(r, r->file ? (struct compose_at){ 0, 0 } : at, r->file ? whole : text);
    r->memory = mine;
}
