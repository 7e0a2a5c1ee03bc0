/* Time: nanoseconds since 1970 UTC, the proleptic Gregorian calendar. */
#include "base/auto.h"
#include "policy/rego/builtin.h"
#include "policy/rego/number.h"

#include <stdio.h>

#define SECOND ((int64_t)1000000000)

struct date {
    int64_t year;
    int month, day, hour, minute, second, nano;
};

/* Days since 1970-01-01; years of March to February make leap days the last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static struct date date_of(int64_t ns)
{
    int64_t seconds = floor_div(ns, SECOND), days = floor_div(seconds, 86400),
            of_day = seconds - days * 86400;
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    struct date d = { .nano = (int)(ns - seconds * SECOND), .day = (int)(doy - (153 * mp + 2) / 5 + 1) };
    d.month = (int)(mp < 10 ? mp + 3 : mp - 9);
    d.year = yoe + era * 400 + (d.month <= 2);
    d.hour = (int)(of_day / 3600);
    d.minute = (int)(of_day / 60 % 60);
    d.second = (int)(of_day % 60);
    return d;
}

static int days_in(int64_t year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* False when 64 bits do not hold it. */
static bool to_ns(int64_t days, int64_t of_day, int64_t nano, int64_t *out)
{
    __int128_t ns = ((__int128_t)days * 86400 + of_day) * SECOND + nano;
    *out = (int64_t)ns;
    return ns == *out;
}

static bool number_at(const char **p, const char *end, int digits, int *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++, ++*p) {
        if (*p == end || **p < '0' || **p > '9')
            return false;
        *out = 10 * *out + (**p - '0');
    }
    return true;
}

static bool mark_at(const char **p, const char *end, char c)
{
    return *p < end && *(*p)++ == c;
}

static bool read_fraction(const char **p, const char *end, int *nano)
{
    int digits = 0;
    *nano = 0;
    if (*p == end || **p != '.')
        return true;
    for (++*p; *p < end && **p >= '0' && **p <= '9'; ++*p, digits++)
        if (digits < 9)
            *nano = 10 * *nano + (**p - '0');
    if (digits == 0 || digits > 9)
        return false;
    while (digits++ < 9)
        *nano *= 10;
    return true;
}

static bool read_offset(const char **p, const char *end, int *minutes)
{
    int hour, minute;
    *minutes = 0;
    if (*p == end)
        return false;
    char sign = *(*p)++;
    if (sign == 'Z')
        return true;
    if ((sign != '+' && sign != '-') || !number_at(p, end, 2, &hour) || !mark_at(p, end, ':')
        || !number_at(p, end, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *minutes = (hour * 60 + minute) * (sign == '-' ? -1 : 1);
    return true;
}

static const struct value *parse_rfc3339(struct call *c, const struct value *const *arg)
{
    const char *p = arg[0]->text, *end = p + arg[0]->n;
    struct date d;
    int year, offset;
    int64_t ns;
    if (!number_at(&p, end, 4, &year) || !mark_at(&p, end, '-') || !number_at(&p, end, 2, &d.month)
        || !mark_at(&p, end, '-') || !number_at(&p, end, 2, &d.day) || !mark_at(&p, end, 'T')
        || !number_at(&p, end, 2, &d.hour) || !mark_at(&p, end, ':') || !number_at(&p, end, 2, &d.minute)
        || !mark_at(&p, end, ':') || !number_at(&p, end, 2, &d.second) || !read_fraction(&p, end, &d.nano)
        || !read_offset(&p, end, &offset) || p != end)
        return NULL;
    if (d.month < 1 || d.month > 12 || d.day < 1 || d.day > days_in(year, d.month) || d.hour > 23
        || d.minute > 59 || d.second > 59)
        return NULL;
    int64_t of_day = (d.hour * 60 + d.minute - offset) * (int64_t)60 + d.second;
    return to_ns(days_of(year, d.month, d.day), of_day, d.nano, &ns) ? value_int(c->arena, ns) : NULL;
}

static const struct value *add_date(struct call *c, const struct value *const *arg)
{
    for (int i = 0; i < 4; i++)
        if (!arg[i]->small || (i && (arg[i]->i > 10000000 || arg[i]->i < -10000000)))
            return NULL;
    struct date d = date_of(arg[0]->i);
    int64_t month = d.month - 1 + arg[2]->i, year = d.year + arg[1]->i + floor_div(month, 12), ns;
    month -= floor_div(month, 12) * 12;
    int64_t days = days_of(year, month + 1, 1) + d.day - 1 + arg[3]->i;
    int64_t of_day = (d.hour * 60 + d.minute) * (int64_t)60 + d.second;
    return to_ns(days, of_day, d.nano, &ns) ? value_int(c->arena, ns) : NULL;
}

static const struct value *now(struct call *c, const struct value *const *arg)
{
    (void)arg;
    return value_int(c->arena, c->now_ns);
}

/* A number, or [number, zone] with the zone "UTC" or "". */
static bool instant(struct call *c, const struct value *v, int64_t *ns)
{
    if (v->type == V_ARRAY) {
        if (v->n < 2 || v->item[1]->type != V_STRING)
            return false;
        if (v->item[1]->n && !(v->item[1]->n == 3 && memcmp(v->item[1]->text, "UTC", 3) == 0))
            arena_fail(c->arena, ERR_INPUT, "time zones other than UTC are not supported");
        v = v->item[0];
    }
    *ns = v->i;
    return v->type == V_NUMBER && v->small;
}

static const struct value *three(struct call *c, int64_t x, int64_t y, int64_t z)
{
    const struct value **item = arena_alloc(c->arena, 3 * sizeof(*item));
    item[0] = value_int(c->arena, x);
    item[1] = value_int(c->arena, y);
    item[2] = value_int(c->arena, z);
    return value_array(c->arena, item, 3);
}

static const struct value *date(struct call *c, const struct value *const *arg)
{
    int64_t ns;
    if (!instant(c, arg[0], &ns))
        return NULL;
    struct date d = date_of(ns);
    return three(c, d.year, d.month, d.day);
}

static const struct value *clock_of(struct call *c, const struct value *const *arg)
{
    int64_t ns;
    if (!instant(c, arg[0], &ns))
        return NULL;
    struct date d = date_of(ns);
    return three(c, d.hour, d.minute, d.second);
}

static const struct value *weekday(struct call *c, const struct value *const *arg)
{
    static const char *const name[] = { "Thursday", "Friday",  "Saturday", "Sunday",
                                        "Monday",   "Tuesday", "Wednesday" };
    int64_t ns;
    if (!instant(c, arg[0], &ns))
        return NULL;
    int64_t days = floor_div(floor_div(ns, SECOND), 86400), at = days - floor_div(days, 7) * 7;
    return value_text(c->arena, name[at], strlen(name[at]));
}

static const struct value *format(struct call *c, const struct value *const *arg)
{
    int64_t ns;
    char text[80], fraction[16] = "";
    if (!instant(c, arg[0], &ns) || (arg[0]->type == V_ARRAY && arg[0]->n > 2))
        return NULL;
    struct date d = date_of(ns);
    if (d.nano) {
        int n = snprintf(fraction, sizeof(fraction), ".%09d", d.nano);
        while (fraction[n - 1] == '0')
            fraction[--n] = 0;
    }
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d%sZ", (int)d.year, d.month, d.day, d.hour,
             d.minute, d.second, fraction);
    return value_string(c->arena, bytes_str(text));
}

/* "1h30m", "1.5s", "-300ms" */
static const struct value *parse_duration(struct call *c, const struct value *const *arg)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = { { "ns", 1 },       { "us", 1000 },  { "\xC2\xB5s", 1000 }, { "\xCE\xBCs", 1000 },
                  { "ms", 1000000 }, { "s", SECOND }, { "m", 60 * SECOND },  { "h", 3600 * SECOND } };
    const char *p = arg[0]->text, *end = p + arg[0]->n;
    bool neg = p < end && *p == '-';
    __int128_t total = 0;
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (end - p == 1 && *p == '0')
        return value_int(c->arena, 0);
    if (p == end)
        return NULL;
    while (p < end) {
        __int128_t whole = 0, part = 0, scale = 1;
        const char *start = p;
        for (; p < end && *p >= '0' && *p <= '9' && whole < INT64_MAX; p++)
            whole = 10 * whole + (*p - '0');
        size_t digits = (size_t)(p - start);
        if (p < end && *p == '.')
            for (p++; p < end && *p >= '0' && *p <= '9'; p++, digits++)
                if (scale < 1000000000000000000)
                    part = 10 * part + (*p - '0'), scale *= 10;
        size_t u = ARRAY_SIZE(units);
        for (size_t i = 0; i < ARRAY_SIZE(units) && digits; i++) {
            size_t n = strlen(units[i].name);
            bool last = (size_t)(end - p) == n || ((size_t)(end - p) > n && p[n] >= '0' && p[n] <= '9')
                        || ((size_t)(end - p) > n && p[n] == '.');
            if ((size_t)(end - p) >= n && memcmp(p, units[i].name, n) == 0 && last)
                u = i;
        }
        if (u == ARRAY_SIZE(units))
            return NULL;
        p += strlen(units[u].name);
        total += whole * units[u].ns + part * units[u].ns / scale;
        if (total > INT64_MAX)
            return NULL;
    }
    return value_int(c->arena, (int64_t)(neg ? -total : total));
}

const struct builtin builtins_time[] = {
    { "time.now_ns", 0, true, { 0 }, now },
    { "time.parse_rfc3339_ns", 1, true, { A_STRING }, parse_rfc3339 },
    { "time.add_date", 4, true, { A_NUMBER, A_NUMBER, A_NUMBER, A_NUMBER }, add_date },
    { "time.date", 1, false, { A_NUMBER | A_ARRAY }, date },
    { "time.clock", 1, false, { A_NUMBER | A_ARRAY }, clock_of },
    { "time.weekday", 1, false, { A_NUMBER | A_ARRAY }, weekday },
    { "time.format", 1, false, { A_NUMBER | A_ARRAY }, format },
    { "time.parse_duration_ns", 1, false, { A_STRING }, parse_duration },
};
const uint32_t builtins_time_n = ARRAY_SIZE(builtins_time);
