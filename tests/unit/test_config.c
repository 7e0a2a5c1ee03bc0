/* agent/: the settings, the command line, messages of the privileged helper. */
#include "evidence.h"

#include "agent/config.h"
#include "agent/options.h"
#include "agent/priv/message.h"
#include "base/auto.h"

static void settings_have_bounds(void **state)
{
    (void)state;
    struct settings s;
    struct err err = { 0 };
    assert_int_equal(settings_parse(bytes_str("{\"log_level\":\"debug\",\"limits\":{\"head_seconds\":300}}"),
                                    &s, &err),
                     0);
    assert_int_equal(s.level, LOG_LEVEL_DEBUG);
    assert_int_equal(s.limits.head_seconds, 300);
    assert_int_equal(s.limits.evidence_burst, 20);
    assert_int_equal(s.firewall, FIREWALL_UNLESS_EMULATED);
    assert_int_equal(settings_parse(bytes_str("{\"firewall\":true}"), &s, &err), 0);
    assert_int_equal(s.firewall, FIREWALL_ON);
    assert_int_equal(settings_parse(bytes_str("{\"firewall\":false}"), &s, &err), 0);
    assert_int_equal(s.firewall, FIREWALL_OFF);
    const char *bad[] = { "{\"firewall\":\"on\"}",
                          "{\"limits\":{\"head_seconds\":301}}",
                          "{\"limits\":{\"head_seconds\":0}}",
                          "{\"limits\":{\"connections\":1025}}",
                          "{\"limits\":{\"head_seconds\":1.5}}",
                          "{\"limits\":{\"speed\":1}}",
                          "{\"limits\":[]}",
                          "{\"log_level\":3}",
                          "{\"colour\":1}",
                          "{\"limits\":{\"evidence_per_second\":-1}}" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(settings_parse(bytes_str(bad[i]), &s, &err), -1);
    assert_int_equal(settings_load("/nonexistent", &s, &err), 0);
    assert_int_equal(s.limits.connections, 512);
}

static void endpoints(void **state)
{
    (void)state;
    const char *good[] = { "127.0.0.1:0", "0.0.0.0:65535", "[::1]:7999", "[2001:db8::1]:1" };
    const char *bad[] = { "",           ":1",         "1.2.3.4",    "1.2.3.4:",      "1.2.3.4:65536",
                          "1.2.3.4:-1", "1.2.3.4:+1", "1.2.3.4: 1", "example.com:1", "::1:5",
                          "[::1:5",     "1.2.3.4:1x", "[]:1" };
    struct endpoint e;
    struct err err = { 0 };
    char text[ENDPOINT_TEXT];
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(endpoint_parse(good[i], &e, &err), 0);
        assert_string_equal(endpoint_text(&e, text), good[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(endpoint_parse(bad[i], &e, &err), -1);
    assert_int_equal(endpoint_parse("localhost:5", &e, &err), 0);
    assert_true(endpoint_is_loopback(&e));
}

static void messages_have_one_size(void **state)
{
    (void)state;
    static struct priv_message in = { .verb = PRIV_ENGINE,
                                      .sequence = 0x01020304,
                                      .flags = 9,
                                      .payload_size = 3,
                                      .payload = "abc" },
                               out;
    struct err err = { 0 };
    uint8_t raw[PRIV_MESSAGE_SIZE];
    priv_message_encode(&in, raw);
    assert_memory_equal(
        raw, "\x4D\x43\x50\x56\x01\x00\x03\x00\x00\x00\x00\x00\x04\x03\x02\x01\x09\0\0\0\x03\0\0\0abc\0", 28);
    assert_int_equal(priv_message_decode(bytes_of(raw, sizeof(raw)), &out, &err), 0);
    assert_memory_equal(&in, &out, sizeof(in));
    for (size_t n = 0; n < sizeof(raw); n += n < 64 ? 1 : 61) {
        AUTO(free_u8) uint8_t *cut = heap_copy(raw, n);
        assert_int_equal(priv_message_decode(bytes_of(cut, n), &out, &err), -1);
    }
    for (size_t bit = 0; bit < 6 * 8; bit++) { /* magic and version */
        raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(priv_message_decode(bytes_of(raw, sizeof(raw)), &out, &err), -1);
        raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    in.payload_size = PRIV_PAYLOAD_MAX;
    priv_message_encode(&in, raw);
    assert_int_equal(priv_message_decode(bytes_of(raw, sizeof(raw)), &out, &err), 0);
    raw[20]++; /* one past the maximum */
    assert_int_equal(priv_message_decode(bytes_of(raw, sizeof(raw)), &out, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_have_bounds),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(messages_have_one_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
