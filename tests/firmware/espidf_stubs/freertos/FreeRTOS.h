#pragma once
#include <stdint.h>

#define CONFIG_ESP_MAIN_TASK_STACK_SIZE 8192
#define pdTRUE ((BaseType_t)1)
#define portMAX_DELAY ((TickType_t)UINT32_MAX)

typedef uint32_t TickType_t;
typedef int BaseType_t;
typedef uint32_t UBaseType_t;
typedef void *QueueHandle_t;
typedef void *TaskHandle_t;
