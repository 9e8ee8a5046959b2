#pragma once
#include "freertos/FreeRTOS.h"

BaseType_t xQueueReceive(QueueHandle_t queue, void *item, TickType_t ticks_to_wait);
