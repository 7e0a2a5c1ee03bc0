/** policy/rego/policy.h: policies written in Rego. A text is compiled once; the compiled policy never changes
 * and may be evaluated by any number of threads at a time. Evaluation is pure: documents and a clock in, a
 * verdict out; its steps, memory and depth are bounded.
 *
 * Policy mode is Intel Trust Authority's policy V2: match, export, exportOnMatch, or all boolean rules where
 * there is no match. Query mode is plain Rego with packages, data and with. What is accepted: docs/rego.md.
 */
#ifndef CVM_POLICY_REGO_POLICY_H
#define CVM_POLICY_REGO_POLICY_H

#include "base/buf.h"

/** A compiled policy (policy mode: one text) or set of modules with a query (query mode). */
struct rego;

/** A JSON document read once: the claims of a verification, or the data of a query. Immutable. */
struct rego_document;

enum rego_mode { REGO_POLICY, REGO_QUERY };

/** Largest text of a policy in policy mode, and of a module in query mode. */
#define REGO_POLICY_TEXT_MAX ((size_t)64 << 10)
#define REGO_MODULE_TEXT_MAX ((size_t)4 << 20)

/** Largest document. */
#define REGO_DOCUMENT_MAX ((size_t)16 << 20)

/** Policies that one appraisal may name. */
#define REGO_POLICIES_MAX 10

struct rego_source {
    const char *name;  /* for messages; a file's or a policy's name */
    struct bytes text; /* any bytes */
};

struct rego_options {
    enum rego_mode mode;
    bool strict;       /* policy mode: no comments, only the built-ins of the policy V2 article */
    const char *query; /* query mode: one term, such as "data.a.b"; required there */
};

/** Where in which source an error is; line 0 when it is about no place. */
struct rego_place {
    size_t source;
    uint32_t line, column; /* from 1; columns in code points */
};

/** Parses, checks and compiles.
 *  @param sources  policy mode: exactly one; query mode: any number
 *  @param out      written only on success; rego_free() it. The sources need not outlive the call
 *  @param place    where the error is; may be NULL
 *  @return 0, or -1: ERR_INPUT with a cause "LINE:COLUMN: what", ERR_TOO_LARGE, ERR_IO when memory is short
 */
MUST_USE int rego_compile(const struct rego_source *sources, size_t n, const struct rego_options *options,
                          struct rego **out, struct rego_place *place, struct err *err);

/** Accepts NULL. */
void rego_free(struct rego *policy);

/** For AUTO(rego_drop) struct rego *p. */
static inline void rego_drop(struct rego **policy)
{
    rego_free(*policy);
}

/** What an author should know about a policy that compiled: the i-th warning, or NULL when there is no such.
 */
const char *rego_warning(const struct rego *policy, size_t i);

/** Bytes that a compiled policy holds. */
size_t rego_size(const struct rego *policy);

/** Appends the line of the text and, below it, a caret under the column; nothing when place->line is 0. */
void rego_put_place(struct buf *out, struct bytes text, const struct rego_place *place);

/** Reads one JSON document of at most REGO_DOCUMENT_MAX bytes. Refused: a member named twice, invalid UTF-8,
 * NUL, trailing bytes, nesting beyond 200.
 *  @param out  written only on success; rego_document_free() it. json need not outlive the call
 *  @return 0, or -1 with ERR_INPUT or ERR_TOO_LARGE */
MUST_USE int rego_document_read(struct bytes json, struct rego_document **out, struct err *err);

/** Accepts NULL. */
void rego_document_free(struct rego_document *document);

/** For AUTO(rego_document_drop). */
static inline void rego_document_drop(struct rego_document **document)
{
    rego_document_free(*document);
}

/** Bounds of one evaluation; 0 stands for the default. */
struct rego_limits {
    uint64_t steps; /* default 20 million, about a second */
    size_t memory;  /* bytes; default 64 MiB */
    unsigned depth; /* rules, functions and iterations within each other; default 400 */
    size_t output;  /* bytes of the result as JSON; default 16 MiB */
};

/** What one evaluation gets. */
struct rego_run {
    const struct rego_document *input; /* NULL: undefined */
    const struct rego_document *data;  /* query mode; NULL: empty */
    int64_t now_ns;                    /* nanoseconds since 1970 UTC: the only clock there is */
    struct rego_limits limits;
    bool explain;
};

struct rego_result {
    bool matched; /* policy mode: the verdict */
    bool defined; /* query mode: there is a value */
    char *json; /* policy mode: policy_defined_claims, an object; query mode: the value, NULL if undefined */
    size_t json_n;
    char *explain; /* NULL unless asked for: one line for each expression that did not hold, and why */
    size_t memory; /* bytes that the evaluation took from the heap at most */
    uint64_t steps;
};

/** Evaluates. An error is never a match and never "unmatched": a conflict, a limit, an export that is no
 * object.
 *  @param out  written only on success; rego_result_done() it
 *  @return 0, or -1: ERR_INPUT for an error of the policy, ERR_TOO_LARGE for a limit, ERR_IO when memory is
 * short */
MUST_USE int rego_evaluate(const struct rego *policy, const struct rego_run *run, struct rego_result *out,
                           struct err *err);

/** Frees what a result holds; for AUTO(rego_result_done) too. */
void rego_result_done(struct rego_result *result);

/** Joins the policy_defined_claims of several policies into one object, members sorted by name.
 *  @param name    the policies' names, for the message
 *  @param result  of policy mode, one for each name
 *  @param json    receives heap memory, terminated; the caller frees
 *  @return 0, or -1 with ERR_INPUT naming both policies that give one claim different values */
MUST_USE int rego_join_claims(const char *const *name, const struct rego_result *result, size_t n,
                              char **json, size_t *json_n, struct err *err);

/** Appends the text in canonical layout, comments kept.
 *  @return 0, or -1 as rego_compile() for a text that does not parse */
MUST_USE int rego_format(const struct rego_source *source, struct buf *out, struct rego_place *place,
                         struct err *err);

#endif
