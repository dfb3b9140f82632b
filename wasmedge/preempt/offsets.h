// Offsets of preempt_slot that assembly relies on; preempt.h checks them.
#ifndef EDGED_PREEMPT_OFFSETS_H
#define EDGED_PREEMPT_OFFSETS_H

#define PREEMPT_SLOT_STACK_LIMIT 0
#define PREEMPT_SLOT_HOST_DEPTH 8
#define PREEMPT_SLOT_DEFERRED 12

#endif
