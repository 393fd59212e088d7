/* Searches with PCRE2 for the benchmark of regular expressions: an outside program, built where a C compiler and PCRE2 are.
 *
 * usage: pcre2 jit|interpreter < rows
 * A row: options, pattern, subject (both in hexadecimal, "-" if empty), whether to find all matches (0 or 1), iterations.
 * Answers a line each: CPU nanoseconds of all iterations, and a checksum of every group's place. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static size_t unhex(char *text) {
    if (strcmp(text, "-") == 0) return 0;
    size_t n = strlen(text) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        sscanf(text + 2 * i, "%2x", &byte);
        text[i] = (char)byte;
    }
    return n;
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv) {
    int jit = argc > 1 && strcmp(argv[1], "jit") == 0;
    if (argc > 1 && strcmp(argv[1], "version") == 0) {
        char version[64];
        pcre2_config(PCRE2_CONFIG_VERSION, version);
        puts(version);
        return 0;
    }
    static char options[64], pattern[1 << 16], subject[1 << 20];
    int all;
    unsigned long iterations;
    while (scanf("%63s %65535s %1048575s %d %lu", options, pattern, subject, &all, &iterations) == 5) {
        uint32_t flags = 0;
        for (char *c = options; *c; c++) {
            if (*c == 'i') flags |= PCRE2_CASELESS;
            if (*c == 'm') flags |= PCRE2_MULTILINE;
            if (*c == 's') flags |= PCRE2_DOTALL;
            if (*c == 'x') flags |= PCRE2_EXTENDED;
            if (*c == 'a') flags |= PCRE2_ANCHORED;
            if (*c == 'u') flags |= PCRE2_UTF;
        }
        size_t pattern_len = unhex(pattern), len = unhex(subject);
        int error;
        PCRE2_SIZE at;
        pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, pattern_len, flags, &error, &at, NULL);
        if (!code) { printf("0 refused\n"); continue; }
        if (jit) pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
        pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
        PCRE2_SIZE *places = pcre2_get_ovector_pointer(data);
        uint32_t groups;
        pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
        uint64_t sum = 0, begun = now();
        for (unsigned long i = 0; i < iterations; i++) {
            PCRE2_SIZE from = 0;
            sum = 0;
            while (from <= len) {
                int count = pcre2_match(code, (PCRE2_SPTR)subject, len, from, 0, data, NULL);
                if (count == PCRE2_ERROR_NOMATCH) break;
                if (count < 0) { sum = (uint64_t)(int64_t)count; break; }
                for (uint32_t g = 0; g < 2 * (groups + 1); g++)
                    sum = sum * 31 + (g < 2 * (uint32_t)count && places[g] != PCRE2_UNSET ? places[g] + 1 : 0);
                if (!all) break;
                from = places[1] > places[0] ? places[1] : places[1] + 1;
            }
        }
        printf("%llu %016llx\n", (unsigned long long)(now() - begun), (unsigned long long)sum);
        fflush(stdout);
        pcre2_match_data_free(data);
        pcre2_code_free(code);
    }
    return 0;
}
