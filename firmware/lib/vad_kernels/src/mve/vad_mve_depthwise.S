/* Depthwise windows by Helium over int8 planes: one output row, channel by channel.
 *
 *     void vad_mve_depthwise_<size>_<stride>_<finish>(vad_mve_depthwise_t *depthwise);
 *
 * vad_mve.h says what the arguments are. VST4 turns rows of a channel into columns of four bytes,
 * so that a 3x3 window lies in 12 bytes side by side and one VMLADAV has its sum. A 5x5 window
 * takes three: four columns of rows 0 to 3, their fifth, and row 4. A 7x7 window takes four: the
 * columns of rows 0 to 3 and those of rows 4 to 6, each in two parts. Sums of eight pixels move to q4
 * (even ones) and q5, are requantized together, and scattered to their pixels.
 *
 * <finish>  relu or signed, the two requantizations of vad_mve.h
 */
    .syntax unified
    .thumb

/* The argument; r12 points at it. */
    .set ROWS, 0
    .set NEXT, 32
    .set COLUMNS, 64
    .set LINE, 68
    .set SIXTEENS, 72
    .set WIDTH, 76
    .set ZERO_POINTS, 80
    .set WINDOWS, 84
    .set LINE_WINDOWS, 88
    .set OUT, 92
    .set PIXEL, 96
    .set EIGHTS, 100
    .set REST, 104
    .set CONSTANTS, 108
    .set CHANNELS, 112
    .set ZERO_POINT, 116

/* Rows to columns, with zero points right of them. r0: their padding; those left of them stay. */
    .macro columns_3
    ldm         r12, {r1, r3, r5}
    vldrw.u32   q0, [r12, #ROWS]
    vldrw.u32   q1, [r12, #NEXT]
    vadd.i32    q0, q0, q1
    vstrw.32    q0, [r12, #ROWS]
    ldrd        r2, r4, [r12, #COLUMNS]
    ldrd        r6, r7, [r12, #SIXTEENS]
    ldr         r0, [r12, #ZERO_POINTS]
    add         r7, r2, r7, lsl #2
    dls         lr, r6
1:
    vldrb.u8    q0, [r1], #16
    vldrb.u8    q1, [r3], #16
    vldrb.u8    q2, [r5], #16
    vst40.8     {q0, q1, q2, q3}, [r2]
    vst41.8     {q0, q1, q2, q3}, [r2]
    vst42.8     {q0, q1, q2, q3}, [r2]
    vst43.8     {q0, q1, q2, q3}, [r2]!
    le          lr, 1b
    strd        r0, r0, [r7]
    .endm

    .macro columns_5
    ldm         r12, {r1, r3, r4, r5, r6}
    vldrw.u32   q0, [r12, #ROWS]
    vldrw.u32   q1, [r12, #NEXT]
    vldrw.u32   q2, [r12, #ROWS + 16]
    vldrw.u32   q3, [r12, #NEXT + 16]
    vadd.i32    q0, q0, q1
    vadd.i32    q2, q2, q3
    vstrw.32    q0, [r12, #ROWS]
    vstrw.32    q2, [r12, #ROWS + 16]
    ldrd        r2, r7, [r12, #COLUMNS] /* and LINE */
    ldrd        r8, r9, [r12, #SIXTEENS]
    ldr         r0, [r12, #ZERO_POINTS]
    add         r10, r2, r9, lsl #2
    add         r9, r9, r7
    dls         lr, r8
1:
    vldrb.u8    q0, [r1], #16
    vldrb.u8    q1, [r3], #16
    vldrb.u8    q2, [r4], #16
    vldrb.u8    q3, [r5], #16
    vldrb.u8    q4, [r6], #16
    vst40.8     {q0, q1, q2, q3}, [r2]
    vst41.8     {q0, q1, q2, q3}, [r2]
    vst42.8     {q0, q1, q2, q3}, [r2]
    vst43.8     {q0, q1, q2, q3}, [r2]!
    vstrb.8     q4, [r7], #16
    le          lr, 1b
    strd        r0, r0, [r10]
    strd        r0, r0, [r10, #8]
    str         r0, [r9]
    .endm

    .macro columns_7
    ldm         r12, {r1, r3-r8}
    vldrw.u32   q0, [r12, #ROWS]
    vldrw.u32   q1, [r12, #NEXT]
    vldrw.u32   q2, [r12, #ROWS + 16]
    vldrw.u32   q3, [r12, #NEXT + 16]
    vadd.i32    q0, q0, q1
    vadd.i32    q2, q2, q3
    vstrw.32    q0, [r12, #ROWS]
    vstrw.32    q2, [r12, #ROWS + 16]
    ldrd        r2, r9, [r12, #COLUMNS] /* and LINE */
    ldr         r0, [r12, #SIXTEENS]
    dls         lr, r0
1:
    vldrb.u8    q0, [r1], #16
    vldrb.u8    q1, [r3], #16
    vldrb.u8    q2, [r4], #16
    vldrb.u8    q3, [r5], #16
    vst40.8     {q0, q1, q2, q3}, [r2]
    vst41.8     {q0, q1, q2, q3}, [r2]
    vst42.8     {q0, q1, q2, q3}, [r2]
    vst43.8     {q0, q1, q2, q3}, [r2]!
    vldrb.u8    q0, [r6], #16
    vldrb.u8    q1, [r7], #16
    vldrb.u8    q2, [r8], #16
    vst40.8     {q0, q1, q2, q3}, [r9]
    vst41.8     {q0, q1, q2, q3}, [r9]
    vst42.8     {q0, q1, q2, q3}, [r9]
    vst43.8     {q0, q1, q2, q3}, [r9]!
    le          lr, 1b
    ldrd        r2, r9, [r12, #COLUMNS]
    ldrd        r1, r0, [r12, #WIDTH]   /* and ZERO_POINTS */
    vdup.32     q0, r0
    add         r2, r2, r1, lsl #2
    add         r9, r9, r1, lsl #2
    vstrw.32    q0, [r2]
    vstrw.32    q0, [r9]
    .endm

/* r2: the constants; leaves bias, multiplier and shift in r5, r7 and r8, the first window's column
 * in r1, and in r10 for 5x5 its fifth row, for 7x7 its column of the rows from the fifth on. */
    .macro constants_3
    vldrw.u32   q0, [r2], #16
    ldr         r1, [r12, #WINDOWS]
    .endm

    .macro constants_5
    vldrw.u32   q0, [r2], #16
    vldrw.u32   q1, [r2], #16
    vldrw.u32   q2, [r2], #16
    ldrd        r1, r10, [r12, #WINDOWS] /* and LINE_WINDOWS */
    .endm

    .macro constants_7
    vldrw.u32   q0, [r2], #16
    vldrw.u32   q1, [r2], #16
    vldrw.u32   q2, [r2], #16
    vldrw.u32   q6, [r2], #16
    ldrd        r1, r10, [r12, #WINDOWS] /* and LINE_WINDOWS */
    .endm

/* The sums of pixels i and j to two lanes of `to`; the first and last registers of r0, r2, r4. */
    .macro sums_3 stride, i, j, to, low, high
    vldrw.u32   q1, [r1, #4 * \stride * \i]
    vldrw.u32   q2, [r1, #4 * \stride * \j]
    vmladav.s8  r0, q1, q0
    vmladav.s8  r4, q2, q0
    vmov        \to\()[\high], \to\()[\low], r0, r4
    .endm

    .macro sums_5 stride, i, j, to, low, high
    vldrw.u32   q3, [r1, #4 * \stride * \i]
    vmladav.s8  r0, q3, q0
    vldrw.u32   q3, [r1, #4 * \stride * \j]
    vmladav.s8  r4, q3, q0
    vldrw.u32   q3, [r1, #4 * \stride * \i + 16]
    vmladava.s8 r0, q3, q1
    vldrw.u32   q3, [r1, #4 * \stride * \j + 16]
    vmladava.s8 r4, q3, q1
    vldrb.u8    q3, [r10, #\stride * \i]
    vmladava.s8 r0, q3, q2
    vldrb.u8    q3, [r10, #\stride * \j]
    vmladava.s8 r4, q3, q2
    vmov        \to\()[\high], \to\()[\low], r0, r4
    .endm

    .macro sums_7 stride, i, j, to, low, high
    vldrw.u32   q3, [r1, #4 * \stride * \i]
    vmladav.s8  r0, q3, q0
    vldrw.u32   q3, [r1, #4 * \stride * \j]
    vmladav.s8  r4, q3, q0
    vldrw.u32   q3, [r1, #4 * \stride * \i + 16]
    vmladava.s8 r0, q3, q1
    vldrw.u32   q3, [r1, #4 * \stride * \j + 16]
    vmladava.s8 r4, q3, q1
    vldrw.u32   q3, [r10, #4 * \stride * \i]
    vmladava.s8 r0, q3, q2
    vldrw.u32   q3, [r10, #4 * \stride * \j]
    vmladava.s8 r4, q3, q2
    vldrw.u32   q3, [r10, #4 * \stride * \i + 16]
    vmladava.s8 r0, q3, q6
    vldrw.u32   q3, [r10, #4 * \stride * \j + 16]
    vmladava.s8 r4, q3, q6
    vmov        \to\()[\high], \to\()[\low], r0, r4
    .endm

    .macro step_3 stride, pixels
    add         r1, r1, #4 * \stride * \pixels
    .endm

    .macro step_5 stride, pixels
    add         r1, r1, #4 * \stride * \pixels
    add         r10, r10, #\stride * \pixels
    .endm

    .macro step_7 stride, pixels
    add         r1, r1, #4 * \stride * \pixels
    add         r10, r10, #4 * \stride * \pixels
    .endm

    .macro scale_relu sums
    vadd.i32    \sums, \sums, r5
    vqrdmulh.s32 \sums, \sums, r7
    vrshl.s32   \sums, r8
    .endm

    .macro scale_signed sums
    vadd.i32    \sums, \sums, r5
    vqrdmulh.s32 \sums, \sums, r7
    vshr.s32    q3, \sums, #31
    vadd.i32    \sums, \sums, q3
    vrshl.s32   \sums, r8
    .endm

    .macro zero_point_relu
    mvn         r0, #127
    .endm

    .macro zero_point_signed
    ldr         r0, [r12, #ZERO_POINT]
    .endm

/* Bytes to each of four pixels, in words; r11: to the next one. */
    .macro four_pixels
    mov         r0, #0
    vidup.u32   q6, r0, #1
    vmul.i32    q6, q6, r11
    .endm

/* Eight pixels, ready to be stored from the even bytes of q4. */
    .macro eight size, stride, finish
    sums_\size  \stride, 0, 4, q4, 0, 2
    sums_\size  \stride, 2, 6, q4, 1, 3
    sums_\size  \stride, 1, 5, q5, 0, 2
    sums_\size  \stride, 3, 7, q5, 1, 3
    scale_\finish q4
    scale_\finish q5
    zero_point_\finish
    vqmovnb.s32 q4, q4
    vqmovnt.s32 q4, q5
    vqadd.s16   q4, q4, r0
    vqmovnb.s16 q4, q4
    .endm

    .macro depthwise size, stride, finish
    .section .text.vad_mve_depthwise_\size\()_\stride\()_\finish, "ax", %progbits
    .balign 4
    .global vad_mve_depthwise_\size\()_\stride\()_\finish
    .type   vad_mve_depthwise_\size\()_\stride\()_\finish, %function
    .thumb_func
vad_mve_depthwise_\size\()_\stride\()_\finish:
    push        {r4-r11, lr}
    sub         sp, sp, #4
    vpush       {d8-d15}
    mov         r12, r0
    ldr         r11, [r12, #PIXEL]
    .ifnc \size, 7
    four_pixels
    .endif
    mov         r0, #0
    vidup.u16   q7, r0, #1
    vmul.i16    q7, q7, r11             /* of eight pixels, in halfwords */
    lsl         r11, r11, #3

.Lchannel_\size\()_\stride\()_\finish:
    columns_\size
    ldr         r2, [r12, #CONSTANTS]
    ldr         r3, [r12, #OUT]
    constants_\size
    ldm         r2!, {r5, r7, r8}
    str         r2, [r12, #CONSTANTS]
    add         r0, r3, #1
    str         r0, [r12, #OUT]
    ldr         r0, [r12, #EIGHTS]
    wls         lr, r0, .Lrest_\size\()_\stride\()_\finish
.Leight_\size\()_\stride\()_\finish:
    eight       \size, \stride, \finish
    step_\size  \stride, 8
    vstrb.16    q4, [r3, q7]
    add         r3, r3, r11
    le          lr, .Leight_\size\()_\stride\()_\finish

.Lrest_\size\()_\stride\()_\finish:
    ldr         r0, [r12, #REST]
    cmp         r0, #4
    bhi         .Lfive_\size\()_\stride\()_\finish
    cmp         r0, #0
    beq         .Lnext_\size\()_\stride\()_\finish
    vctp.32     r0
    sums_\size  \stride, 0, 2, q4, 0, 2
    sums_\size  \stride, 1, 3, q4, 1, 3
    scale_\finish q4
    zero_point_\finish
    vqmovnb.s32 q4, q4
    vqadd.s16   q4, q4, r0
    vqmovnb.s16 q4, q4
    .ifc \size, 7
    lsr         r11, r11, #3            /* q6 held weights */
    four_pixels
    lsl         r11, r11, #3
    .endif
    vpst
    vstrbt.32   q4, [r3, q6]
    b           .Lnext_\size\()_\stride\()_\finish
.Lfive_\size\()_\stride\()_\finish:
    vctp.16     r0
    eight       \size, \stride, \finish
    vpst
    vstrbt.16   q4, [r3, q7]

.Lnext_\size\()_\stride\()_\finish:
    ldr         r0, [r12, #CHANNELS]
    subs        r0, r0, #1
    str         r0, [r12, #CHANNELS]
    bne         .Lchannel_\size\()_\stride\()_\finish
    vpop        {d8-d15}
    add         sp, sp, #4
    pop         {r4-r11, pc}
    .size   vad_mve_depthwise_\size\()_\stride\()_\finish, . - vad_mve_depthwise_\size\()_\stride\()_\finish
    .endm

    .irp        finish, relu, signed
    depthwise   3, 1, \finish
    depthwise   3, 2, \finish
    depthwise   5, 1, \finish
    depthwise   5, 2, \finish
    depthwise   7, 1, \finish
    depthwise   7, 2, \finish
    .endr
