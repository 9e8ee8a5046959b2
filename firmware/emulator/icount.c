/* QEMU TCG plugin: counts the instructions that the guest executes between two markers.
 *
 * Compiled with -DVAD_PLUGIN_API=1 for QEMU before 9 and =2 from 9 on. Distributions ship no
 * qemu-plugin.h, so what is used of it is declared here.
 *
 * Arguments: begin=ADDR and end=ADDR mark the region; skip=FIRST-LAST (any number) are addresses
 * that never count; step=ADDR (any number, numbered from 0) are entries of steps; out=FILE.
 *
 * FILE: "step N COUNT" what was counted from the entry of a step to that of the next,
 *       "step -1 COUNT" before the first, "at ADDR COUNT" each address that counted. */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

typedef void (*translate_cb_t)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*execute_cb_t)(unsigned int vcpu, void *user);
typedef void (*exit_cb_t)(qemu_plugin_id_t id, void *user);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, translate_cb_t callback);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, exit_cb_t callback, void *user);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, execute_cb_t callback,
                                            enum qemu_plugin_cb_flags flags, void *user);

EXPORT int qemu_plugin_version = VAD_PLUGIN_API;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

#define MAX_ADDRESSES (1u << 17)
#define HASH_SIZE (4u * MAX_ADDRESSES)
#define MAX_SKIPS 64
#define MAX_STEPS 4096

/* What the guest's code adds to. */
typedef struct {
    uint64_t total;
    uint64_t at[MAX_ADDRESSES];
} counters_t;

#if VAD_PLUGIN_API == 1
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn,
                                                enum qemu_plugin_op op, void *counter,
                                                uint64_t add);

static counters_t the_counters;

static void make_counters(void) {
}

static counters_t *counters(void) {
    return &the_counters;
}

static void count_at(struct qemu_plugin_insn *insn, size_t offset) {
    qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                               (char *)&the_counters + offset, 1);
}
#else
struct qemu_plugin_scoreboard;
typedef struct {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
} qemu_plugin_u64;
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *score, unsigned int vcpu);
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn,
                                                         enum qemu_plugin_op op,
                                                         qemu_plugin_u64 entry, uint64_t add);

static struct qemu_plugin_scoreboard *the_counters;

static void make_counters(void) {
    the_counters = qemu_plugin_scoreboard_new(sizeof(counters_t));
}

static counters_t *counters(void) {
    return qemu_plugin_scoreboard_find(the_counters, 0);
}

static void count_at(struct qemu_plugin_insn *insn, size_t offset) {
    const qemu_plugin_u64 entry = {the_counters, offset};
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64, entry, 1);
}
#endif

static uint64_t begin_address = UINT64_MAX, end_address = UINT64_MAX;
static uint64_t skip_first[MAX_SKIPS], skip_last[MAX_SKIPS];
static size_t n_skips;
static uint64_t step_entry[MAX_STEPS], step_count[MAX_STEPS + 1];
static size_t n_steps;
static const char *out_name;

static uint64_t address_of[MAX_ADDRESSES];
static uint32_t hash_table[HASH_SIZE]; /* index + 1 into address_of, 0 when free */
static size_t n_addresses;

static bool inside;
static uint64_t counted, total_at_begin; /* in the region, up to its last begin */
static uint64_t at_begin[MAX_ADDRESSES], at_region[MAX_ADDRESSES];
static size_t current_step; /* 0 before the first, else 1 + step */
static uint64_t counted_at_step;

static void die(const char *message) {
    fprintf(stderr, "icount: %s\n", message);
    exit(1);
}

static size_t index_of(uint64_t address) {
    size_t hash = (size_t)((address >> 1) * 0x9E3779B97F4A7C15u) % HASH_SIZE;
    while (hash_table[hash] != 0) {
        if (address_of[hash_table[hash] - 1] == address) {
            return hash_table[hash] - 1;
        }
        hash = (hash + 1) % HASH_SIZE;
    }
    if (n_addresses == MAX_ADDRESSES) {
        die("too many instructions in the firmware");
    }
    address_of[n_addresses] = address;
    hash_table[hash] = (uint32_t)++n_addresses;
    return n_addresses - 1;
}

static bool is_skipped(uint64_t address) {
    for (size_t i = 0; i < n_skips; i++) {
        if (skip_first[i] <= address && address <= skip_last[i]) {
            return true;
        }
    }
    return false;
}

static void end_step(void) {
    step_count[current_step] += counted - counted_at_step;
    counted_at_step = counted;
}

static void update(void) {
    if (inside) {
        const uint64_t total = counters()->total;
        counted += total - total_at_begin;
        total_at_begin = total;
    }
}

static void on_begin(unsigned int vcpu, void *user) {
    (void)vcpu;
    (void)user;
    if (!inside) {
        const counters_t *now = counters();
        inside = true;
        total_at_begin = now->total;
        memcpy(at_begin, now->at, n_addresses * sizeof at_begin[0]);
    }
}

static void on_end(unsigned int vcpu, void *user) {
    (void)vcpu;
    (void)user;
    if (inside) {
        const counters_t *now = counters();
        update();
        for (size_t i = 0; i < n_addresses; i++) {
            at_region[i] += now->at[i] - at_begin[i];
        }
        memcpy(at_begin, now->at, n_addresses * sizeof at_begin[0]);
        inside = false;
    }
}

static void on_step(unsigned int vcpu, void *user) {
    (void)vcpu;
    update();
    end_step();
    current_step = (size_t)(uintptr_t)user;
}

/* Callbacks are registered before the counters, so that they run before their instruction counts.
 */
static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    for (size_t i = 0, n = qemu_plugin_tb_n_insns(tb); i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const uint64_t address = qemu_plugin_insn_vaddr(insn);
        if (address == begin_address) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_begin, QEMU_PLUGIN_CB_NO_REGS, NULL);
        }
        if (address == end_address) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_end, QEMU_PLUGIN_CB_NO_REGS, NULL);
        }
        for (size_t step = 0; step < n_steps; step++) {
            if (address == step_entry[step]) {
                qemu_plugin_register_vcpu_insn_exec_cb(insn, on_step, QEMU_PLUGIN_CB_NO_REGS,
                                                       (void *)(uintptr_t)(step + 1));
            }
        }
        if (!is_skipped(address)) {
            count_at(insn, offsetof(counters_t, total));
            count_at(insn, offsetof(counters_t, at) + index_of(address) * sizeof(uint64_t));
        }
    }
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *user) {
    (void)id;
    (void)user;
    FILE *out = fopen(out_name, "w");
    if (out == NULL) {
        die("cannot write the counts");
    }
    end_step();
    for (size_t i = 0; i <= n_steps; i++) {
        fprintf(out, "step %ld %" PRIu64 "\n", (long)i - 1, step_count[i]);
    }
    for (size_t i = 0; i < n_addresses; i++) {
        if (at_region[i] != 0) {
            fprintf(out, "at 0x%" PRIx64 " %" PRIu64 "\n", address_of[i], at_region[i]);
        }
    }
    if (fclose(out) != 0) {
        die("cannot write the counts");
    }
}

/* The text behind "name=", or NULL. */
static const char *value_of(const char *argument, const char *name) {
    const size_t length = strlen(name);
    const bool is_it = strncmp(argument, name, length) == 0 && argument[length] == '=';
    return is_it ? argument + length + 1 : NULL;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                               char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        const char *value;
        if ((value = value_of(argv[i], "begin")) != NULL) {
            begin_address = strtoull(value, NULL, 0);
        } else if ((value = value_of(argv[i], "end")) != NULL) {
            end_address = strtoull(value, NULL, 0);
        } else if ((value = value_of(argv[i], "skip")) != NULL && n_skips < MAX_SKIPS) {
            char *last = NULL;
            skip_first[n_skips] = strtoull(value, &last, 0);
            skip_last[n_skips++] = strtoull(last + 1, NULL, 0);
        } else if ((value = value_of(argv[i], "step")) != NULL && n_steps < MAX_STEPS) {
            step_entry[n_steps++] = strtoull(value, NULL, 0);
        } else if ((value = value_of(argv[i], "out")) != NULL) {
            out_name = value;
        } else {
            fprintf(stderr, "icount: argument %s is not understood\n", argv[i]);
            return 1;
        }
    }
    if (out_name == NULL) {
        fprintf(stderr, "icount: out=FILE is missing\n");
        return 1;
    }
    make_counters();
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
    return 0;
}
