#ifndef VAD_IDENTITY_H
#define VAD_IDENTITY_H

#define VAD_IDENTITY_BOARD "by_hand"
#define VAD_IDENTITY_FIRMWARE "0"
#define VAD_IDENTITY_MODEL {1, 2, 3}
#define VAD_IDENTITY_N_TESTS 2
#define VAD_IDENTITY_TESTS {0u, 0u}

#endif
