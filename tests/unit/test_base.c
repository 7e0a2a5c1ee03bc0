/* base/: errors, bytes, buffers, encodings, JSON, files, digests, workers. */
#include "evidence.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/worker.h"
#include "base/x509.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void error_chain_keeps_the_cause(void **state)
{
    (void)state;
    struct err err = { 0 };
    char text[ERR_TEXT_MAX], small[8];
    assert_int_equal(err_set(&err, ERR_INPUT, 7, "bad byte at %d", 3), -1);
    for (int i = 0; i < 20; i++)
        assert_int_equal(err_while(&err, "outer"), -1);
    assert_string_equal(err.cause, "bad byte at 3");
    err_text(&err, text, sizeof(text));
    assert_non_null(strstr(text, ": bad byte at 3"));
    assert_int_equal(strlen(err_text(&err, small, sizeof(small))), 7);
    err_set(&err, ERR_IO, 0, "new");
    err_while(&err, "inner");
    err_while(&err, "outer");
    assert_string_equal(err_text(&err, text, sizeof(text)), "outer: inner: new");
}

static void reader_stops_at_the_end(void **state)
{
    (void)state;
    const uint8_t data[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    struct reader r = reader_of(bytes_of(data, sizeof(data)));
    uint32_t a;
    uint16_t b;
    uint64_t c = 0;
    struct bytes rest;
    assert_true(rd_u32le(&r, &a) && a == 0x04030201);
    assert_true(rd_u16be(&r, &b) && b == 0x0506);
    assert_false(rd_u64le(&r, &c));
    assert_int_equal(r.off, 6);
    assert_int_equal(c, 0);
    assert_false(rd_take(&r, SIZE_MAX, &rest));
    assert_true(rd_take(&r, 3, &rest) && rest.p[0] == 7);
    assert_true(rd_take(&r, 0, &rest));
    const uint8_t tpm2b[] = { 0, 2, 0xAA };
    r = reader_of(bytes_of(tpm2b, sizeof(tpm2b)));
    assert_false(rd_tpm2b(&r, &rest));
    assert_int_equal(r.off, 0);
}

static void buffer_refuses_more_than_its_maximum(void **state)
{
    (void)state;
    struct buf b = buf_new(10);
    buf_str(&b, "0123456789");
    assert_false(b.failed);
    buf_u8(&b, 1);
    assert_true(b.failed);
    assert_int_equal(b.n, 10);
    struct err err = { 0 };
    assert_int_equal(buf_check(&b, "thing", &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    buf_done(&b);
    b = buf_new(1 << 20);
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%0600d", i);
    assert_int_equal(b.n, 600000);
    buf_wipe(&b);
}

static void hex_round_trip_and_refusals(void **state)
{
    (void)state;
    uint8_t out[2];
    struct err err = { 0 };
    assert_int_equal(hex_decode_fixed(bytes_str("0xA0ff"), out, 2, &err), 0);
    assert_int_equal(out[0], 0xA0);
    assert_int_equal(hex_decode_fixed(bytes_str("a0f"), out, 2, &err), -1);
    assert_int_equal(hex_decode_fixed(bytes_str("a0fg"), out, 2, &err), -1);
    struct buf b = buf_new(100);
    assert_int_equal(hex_decode(bytes_str("abc"), &b, &err), -1);
    assert_int_equal(hex_decode(bytes_str("abzz"), &b, &err), -1);
    assert_int_equal(b.n, 0);
    assert_int_equal(hex_decode(bytes_str(""), &b, &err), 0);
    buf_done(&b);
}

static void base64_vectors_of_rfc_4648(void **state)
{
    (void)state;
    static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" };
    static const char *const coded[] = { "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
        AUTO(free_str) char *s = b64_str(bytes_str(plain[i]));
        assert_string_equal(s, coded[i]);
        struct err err = { 0 };
        AUTO(buf_done) struct buf b = buf_new(100);
        assert_int_equal(b64_decode(bytes_str(coded[i]), &b, &err), 0);
        assert_true(bytes_equal(buf_bytes(&b), bytes_str(plain[i])));
        AUTO(buf_done) struct buf u = buf_new(100), d = buf_new(100);
        b64url_put(&u, bytes_str(plain[i]));
        assert_int_equal(b64_decode(buf_bytes(&u), &d, &err), 0);
        assert_true(bytes_equal(buf_bytes(&d), bytes_str(plain[i])));
    }
    static const char *const bad[] = { "Z",    "Zg=",    "Zg===", "Zh==", "Zm9=",
                                       "Zm 9", "Zm9v\n", "=",     "====", "Zg==Zg==" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = { 0 };
        AUTO(buf_done) struct buf b = buf_new(100);
        assert_int_equal(b64_decode(bytes_str(bad[i]), &b, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_int_equal(b.n, 0);
    }
}

/* Both ways of decoding, group by group and the rest: every length, and every byte at every place of a group.
 */
static void base64_of_all_bytes(void **state)
{
    (void)state;
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_";
    uint8_t plain[300];
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 167 + 13);
    for (size_t n = 0; n <= sizeof(plain); n++) {
        struct err err = { 0 };
        AUTO(free_str) char *text = b64_str(bytes_of(plain, n));
        AUTO(buf_done) struct buf b = buf_new(sizeof(plain));
        assert_int_equal(b64_decode(bytes_str(text), &b, &err), 0);
        assert_true(bytes_equal(buf_bytes(&b), bytes_of(plain, n)));
    }
    for (unsigned c = 0; c < 256; c++)
        for (size_t at = 0; at < 8; at++) {
            char text[] = "AAAAAAAA";
            struct err err = { 0 };
            AUTO(buf_done) struct buf b = buf_new(16);
            text[at] = (char)c;
            const char *known = c ? strchr(alphabet, (int)c) : NULL;
            int rc = b64_decode(bytes_of(text, 8), &b, &err);
            if (c == '=' && at == 7)
                continue; /* padding */
            assert_int_equal(rc, known ? 0 : -1);
            if (!known)
                continue;
            size_t value =
                known - alphabet < 64 ? (size_t)(known - alphabet) : (size_t)(known - alphabet) - 2;
            uint32_t group =
                (uint32_t)b.p[at / 4 * 3] << 16 | (uint32_t)b.p[at / 4 * 3 + 1] << 8 | b.p[at / 4 * 3 + 2];
            assert_int_equal(group, value << (18 - 6 * (at % 4)));
        }
}

static void percent_decoding(void **state)
{
    (void)state;
    struct err err = { 0 };
    AUTO(buf_done) struct buf b = buf_new(100);
    assert_int_equal(percent_decode(bytes_str("a%2Fb%00c+%25"), &b, &err), 0);
    assert_true(bytes_equal(buf_bytes(&b), bytes_of("a/b\0c+%", 7)));
    assert_int_equal(percent_decode(bytes_str("%"), &b, &err), -1);
    assert_int_equal(percent_decode(bytes_str("%4"), &b, &err), -1);
    assert_int_equal(percent_decode(bytes_str("%zz"), &b, &err), -1);
}

static void json_refuses_what_is_not_plain(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } bad[] = {
        { "", 0 },         { "{", 1 }, { "{\"a\":1,\"a\":2}", 13 }, { "{} x", 4 }, { "\"a\\u0000b\"", 10 },
        { "\"\xFF\"", 3 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        json_t *v = NULL;
        struct err err = { 0 };
        assert_int_equal(json_parse(bytes_of(bad[i].text, bad[i].n), 1000, &v, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
    json_t *v = NULL;
    struct err err = { 0 };
    size_t n = 4u << 20;
    AUTO(free_u8) uint8_t *deep = malloc(n);
    memset(deep, '[', n);
    assert_int_equal(json_parse(bytes_of(deep, n), n, &v, &err), -1);
    assert_int_equal(json_parse(bytes_of(deep, n), n - 1, &v, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    assert_int_equal(json_parse(bytes_str("{\"a\":[\"]]]]\",{\"b\":null}]}"), 100, &v, &err), 0);
    json_decref(v);
}

static void json_writer_escapes(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = buf_new(1000);
    buf_str(&b, "{");
    json_put_key(&b, "a");
    json_put_string(&b, bytes_of("q\"\\\n\0\xC3\xA9\xFF", 8));
    json_put_b64(&b, "b", bytes_str("foob"));
    buf_str(&b, "}");
    json_t *v = NULL;
    struct err err = { 0 };
    char want[] = "{\"a\":\"q\\\"\\\\\\u000a\\u0000\xC3\xA9\xEF\xBF\xBD\",\"b\":\"Zm9vYg==\"}";
    assert_true(bytes_equal(buf_bytes(&b), bytes_str(want)));
    assert_int_equal(json_parse(bytes_str("{\"a\":\"\\u00e9\"}"), 100, &v, &err), 0);
    json_decref(v);
}

static void files_are_whole_or_refused(void **state)
{
    (void)state;
    char folder[] = "/tmp/cvm-test-XXXXXX", path[64], line[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/x", folder);
    struct err err = { 0 };
    assert_int_equal(file_write_atomic(path, bytes_str("hello\n\n"), 0600, &err), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    uint8_t *p = NULL;
    size_t n = 0;
    assert_int_equal(file_read(path, 6, &p, &n, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    assert_int_equal(file_read(path, 7, &p, &n, &err), 0);
    assert_int_equal(n, 7);
    free(p);
    assert_int_equal(file_read_line(path, line, sizeof(line), &err), 0);
    assert_string_equal(line, "hello");
    assert_int_equal(file_read("/proc/self/status", 1 << 20, &p, &n, &err), 0);
    assert_true(n > 100);
    free(p);
    assert_int_equal(file_read(folder, 100, &p, &n, &err), -1);
    unlink(path);
    assert_int_equal(file_read(path, 100, &p, &n, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(dir_make(folder, 0700, &err), 0);
    rmdir(folder);
}

static void digests_by_name_and_known_answer(void **state)
{
    (void)state;
    struct err err = { 0 };
    struct digest d;
    char hex[2 * DIGEST_MAX + 1];
    assert_int_equal(digest_by_name("SHA-256"), ALG_SHA256);
    assert_int_equal(digest_by_name("md5"), 0);
    assert_int_equal(digest_of(ALG_SHA256, bytes_str("abc"), &d, &err), 0);
    assert_string_equal(hex_to(hex, digest_bytes(&d)),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(digest_of(0x9999, bytes_str("abc"), &d, &err), -1);
}

struct counted {
    struct job job;
    atomic_int *ran, *dropped;
    pthread_mutex_t *gate;
};

static void count_run(struct job *job)
{
    struct counted *c = (struct counted *)job;
    if (c->gate) {
        pthread_mutex_lock(c->gate);
        pthread_mutex_unlock(c->gate);
    }
    atomic_fetch_add(c->ran, 1);
}

static void count_drop(struct job *job)
{
    atomic_fetch_add(((struct counted *)job)->dropped, 1);
}

static void worker_bounds_its_queue(void **state)
{
    (void)state;
    struct worker *w = NULL;
    struct err err = { 0 };
    atomic_int ran = 0, dropped = 0;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    assert_int_equal(worker_start("test", 4, 2, &w, &err), 0);
    pthread_mutex_lock(&gate);
    struct counted jobs[8];
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
        jobs[i] = (struct counted){
            { count_run, count_drop, i >= 1 && i < 4, NULL }, &ran, &dropped, i ? NULL : &gate
        };
    assert_int_equal(worker_submit(w, &jobs[0].job, &err), 0);
    while (worker_waiting(w))
        usleep(1000);
    assert_int_equal(worker_load(w), 1); /* the one that runs */
    assert_int_equal(worker_submit(w, &jobs[1].job, &err), 0);
    assert_int_equal(worker_submit(w, &jobs[2].job, &err), 0);
    assert_int_equal(worker_submit(w, &jobs[3].job, &err), -1); /* the outside half is full */
    assert_int_equal(err.kind, ERR_LIMITED);
    assert_int_equal(worker_submit(w, &jobs[4].job, &err), 0);
    assert_int_equal(worker_submit(w, &jobs[5].job, &err), 0);
    assert_int_equal(worker_submit(w, &jobs[6].job, &err), -1); /* one past the depth */
    assert_int_equal(worker_load(w), 5);
    pthread_mutex_unlock(&gate);
    while (atomic_load(&ran) < 5)
        usleep(1000);
    worker_stop(w);
    assert_int_equal(atomic_load(&dropped), 0);
}

static void certificate_padding_and_trailing_bytes(void **state)
{
    (void)state;
    skip_without_evidence();
    struct sample s = sample_load("azure-tdx/v4-90c06f-akcert/ak_cert_nv_padded.bin");
    struct err err = { 0 };
    X509 *cert = NULL;
    assert_int_equal(x509_parse(sample_bytes(&s), &cert, &err), 0);
    AUTO(free_str) char *name = x509_name_text(X509_get_subject_name(cert));
    assert_string_equal(name, "CN=353c6d9a70bc.ConfidentialVM.Azure.windows.net");
    X509_free(cert);
    s.p[s.n - 1] = 1;
    assert_int_equal(x509_parse(sample_bytes(&s), &cert, &err), -1);
    sample_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_chain_keeps_the_cause),
        cmocka_unit_test(reader_stops_at_the_end),
        cmocka_unit_test(buffer_refuses_more_than_its_maximum),
        cmocka_unit_test(hex_round_trip_and_refusals),
        cmocka_unit_test(base64_vectors_of_rfc_4648),
        cmocka_unit_test(base64_of_all_bytes),
        cmocka_unit_test(percent_decoding),
        cmocka_unit_test(json_refuses_what_is_not_plain),
        cmocka_unit_test(json_writer_escapes),
        cmocka_unit_test(files_are_whole_or_refused),
        cmocka_unit_test(digests_by_name_and_known_answer),
        cmocka_unit_test(worker_bounds_its_queue),
        cmocka_unit_test(certificate_padding_and_trailing_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
