/* Counters of what a search looks at, for studies on a computer; nothing in a firmware. */
#ifndef VAD_PQ_COUNTED_H
#define VAD_PQ_COUNTED_H

#include <stdint.h>

enum {
    VAD_PQ_LOOK_UPS,      /* entries of look-up tables that were read */
    VAD_PQ_TABLE_ENTRIES, /* distances to centroids that tables were made of */
    VAD_PQ_DIRECT,        /* distances to centroids without a table */
    VAD_PQ_SUMS,          /* entries of the tables of bytes that hold two codes */
    VAD_PQ_ROWS,          /* rows of the bank that were looked at, in any level */
    VAD_PQ_KEPT,          /* of these, rows that stayed below the bound */
    VAD_PQ_VALUES,        /* of flat rows */
    VAD_PQ_N_COUNTED
};

#ifdef VAD_PQ_COUNTING
extern uint64_t vad_pq_counted[VAD_PQ_N_COUNTED]; /* of the program that counts; one thread */
#define VAD_PQ_COUNT(what, n) (vad_pq_counted[what] += (n))
#else
#define VAD_PQ_COUNT(what, n) ((void)0)
#endif

#endif
