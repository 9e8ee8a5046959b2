#pragma once
#include "freertos/FreeRTOS.h"

UBaseType_t uxTaskGetStackHighWaterMark(TaskHandle_t task);
