#include "evidence.h"

#include "base/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *test_evidence(void)
{
    const char *folder = getenv("CVM_EVIDENCE");
    struct stat st;
    if (!folder || !*folder)
        folder = CVM_EVIDENCE_DEFAULT;
    return stat(folder, &st) == 0 && S_ISDIR(st.st_mode) ? folder : NULL;
}

void skip_without_evidence(void)
{
    if (test_evidence())
        return;
    fprintf(stderr, "SKIPPED: no recorded evidence (set CVM_EVIDENCE to its folder)\n");
    skip();
}

struct sample sample_load_path(const char *path)
{
    struct sample s = { 0 };
    struct err err = { 0 };
    uint8_t *p = NULL;
    if (file_read(path, FILE_MAX_DEFAULT, &p, &s.n, &err) < 0)
        fail_msg("%s", err.cause);
    s.p = heap_copy(p, s.n);
    free(p);
    return s;
}

struct sample sample_load(const char *relative)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", test_evidence(), relative);
    return sample_load_path(path);
}

uint8_t *heap_copy(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    if (n)
        memcpy(copy, p, n);
    return copy;
}

void sample_done(struct sample *s)
{
    free(s->p);
    *s = (struct sample){ 0 };
}
