/* cli/target.h: where an agent is, as users say it. */
#include "evidence.h"

#include "base/auto.h"
#include "cli/target.h"

static void reads_what_users_write(void **state)
{
    (void)state;
    static const struct {
        const char *text, *base, *socket;
        bool tls, loopback;
    } rows[] = {
        { "10.0.0.7", "https://10.0.0.7:8000", "", true, false },
        { "host.example", "https://host.example:8000", "", true, false },
        { "host:443", "https://host:443", "", true, false },
        { "2001:db8::7", "https://[2001:db8::7]:8000", "", true, false },
        { "[2001:db8::7]:9", "https://[2001:db8::7]:9", "", true, false },
        { "127.0.0.1", "http://127.0.0.1:7999", "", false, true },
        { "localhost", "http://localhost:7999", "", false, true },
        { "::1", "http://[::1]:7999", "", false, true },
        { "127.0.0.1:8000", "https://127.0.0.1:8000", "", true, true },
        { "localhost:1234", "http://localhost:1234", "", false, true },
        { "http://h:1/", "http://h:1", "", false, false },
        { "https://[2001:db8::7]:8000/", "https://[2001:db8::7]:8000", "", true, false },
        { "https://[::1]", "https://[::1]", "", true, false },
        { "http://h:65535/a/b", "http://h:65535/a/b", "", false, false },
        { "HTTPS://h", "HTTPS://h", "", true, false },
        { "unix:/run/a.sock", "http://localhost", "/run/a.sock", false, true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct target t;
        struct err err = { 0 };
        if (target_parse(rows[i].text, false, &t, &err) < 0)
            fail_msg("%s: %s", rows[i].text, err.cause);
        assert_string_equal(t.base, rows[i].base);
        assert_string_equal(t.socket, rows[i].socket);
        assert_int_equal(t.tls, rows[i].tls);
        assert_int_equal(t.loopback, rows[i].loopback);
    }
}

/* Management is not on the internal port: a bare loopback name means the external one. */
static void https_reaches_loopback_too(void **state)
{
    (void)state;
    static const struct {
        const char *text, *base;
        bool tls;
    } rows[] = {
        { "127.0.0.1", "https://127.0.0.1:8000", true },
        { "localhost:1234", "https://localhost:1234", true },
        { "::1", "https://[::1]:8000", true },
        { "10.0.0.7", "https://10.0.0.7:8000", true },
        { "http://127.0.0.1:7999", "http://127.0.0.1:7999", false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct target t;
        struct err err = { 0 };
        assert_int_equal(target_parse(rows[i].text, true, &t, &err), 0);
        assert_string_equal(t.base, rows[i].base);
        assert_int_equal(t.tls, rows[i].tls);
    }
}

static void refuses_what_is_no_place(void **state)
{
    (void)state;
    char huge[2 * TARGET_MAX];
    memset(huge, 'a', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    const char *const bad[] = { "",
                                "a b",
                                "host/path",
                                "host:",
                                "host:x",
                                "ftp://host",
                                ":8000",
                                "user@host",
                                "unix:rel",
                                "http://a\nb",
                                "a?b=c",
                                "a#b",
                                "\x1b[1",
                                huge,
                                "https://[::1",
                                "https://::1]",
                                "https://h:99999",
                                "http://h:0",
                                "http://h:",
                                "http://",
                                "https:///x",
                                "http://h:1x",
                                "http://2001:db8::7",
                                "http://[h]",
                                "h:65536",
                                "[::1",
                                "::1]",
                                "[]",
                                "https://[]:1",
                                "http://:80",
                                "http://h:123456" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct target t = { .base = "untouched" };
        struct err err = { 0 };
        int rc = target_parse(bad[i], i % 2, &t, &err);
        if (rc == 0)
            fail_msg("read: %s as %s", bad[i], t.base);
        assert_string_equal(t.base, "untouched");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_users_write),
        cmocka_unit_test(https_reaches_loopback_too),
        cmocka_unit_test(refuses_what_is_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
