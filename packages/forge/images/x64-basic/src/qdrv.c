// A driver that takes its in-stack queued spin lock again below a function that holds it.
typedef unsigned char UCHAR;
typedef unsigned long ULONG;
typedef unsigned long long ULONG_PTR;
typedef struct _LIST_ENTRY { struct _LIST_ENTRY *Flink, *Blink; } LIST_ENTRY;
typedef struct _KLOCK_QUEUE_HANDLE { void *Next; ULONG_PTR *Lock; UCHAR OldIrql; } KLOCK_QUEUE_HANDLE;

typedef struct _EXTENSION {
  ULONG Tag;
  ULONG Pending;
  LIST_ENTRY Queue;
  ULONG_PTR Lock;
  ULONG Completed;
} EXTENSION;

typedef struct _ITEM {
  LIST_ENTRY Link;
  ULONG Flags;
  ULONG Length;
} ITEM;

typedef struct _DEVICE_OBJECT { UCHAR Header[0x40]; EXTENSION *DeviceExtension; } DEVICE_OBJECT;
typedef struct _IRP { UCHAR Header[0x18]; ITEM *SystemBuffer; UCHAR Rest[0x10]; ULONG Status; } IRP;

__declspec(dllimport) void KeAcquireInStackQueuedSpinLock(ULONG_PTR *Lock, KLOCK_QUEUE_HANDLE *Handle);
__declspec(dllimport) void KeReleaseInStackQueuedSpinLock(KLOCK_QUEUE_HANDLE *Handle);

__attribute__((noinline)) ULONG CompleteItem(EXTENSION *Extension, ITEM *Item) {
  KLOCK_QUEUE_HANDLE handle;
  KeAcquireInStackQueuedSpinLock(&Extension->Lock, &handle);
  Extension->Completed += Item->Length;
  Extension->Pending -= 1;
  KeReleaseInStackQueuedSpinLock(&handle);
  return Extension->Completed;
}

// Holds the lock over CompleteItem.
__attribute__((noinline)) ULONG QueueItem(EXTENSION *Extension, ITEM *Item) {
  KLOCK_QUEUE_HANDLE handle;
  ULONG done = 0;
  KeAcquireInStackQueuedSpinLock(&Extension->Lock, &handle);
  Item->Link.Flink = Extension->Queue.Flink;
  Item->Link.Blink = &Extension->Queue;
  Extension->Queue.Flink->Blink = &Item->Link;
  Extension->Queue.Flink = &Item->Link;
  Extension->Pending += 1;
  if (Item->Flags & 1) done = CompleteItem(Extension, Item);
  KeReleaseInStackQueuedSpinLock(&handle);
  return done;
}

// Gives the lock back first.
__attribute__((noinline)) ULONG QueueThenComplete(EXTENSION *Extension, ITEM *Item) {
  KLOCK_QUEUE_HANDLE handle;
  KeAcquireInStackQueuedSpinLock(&Extension->Lock, &handle);
  Item->Link.Flink = Extension->Queue.Flink;
  Item->Link.Blink = &Extension->Queue;
  Extension->Queue.Flink->Blink = &Item->Link;
  Extension->Queue.Flink = &Item->Link;
  Extension->Pending += 1;
  KeReleaseInStackQueuedSpinLock(&handle);
  return CompleteItem(Extension, Item);
}

__attribute__((noinline)) ULONG QueueDeviceControl(DEVICE_OBJECT *Device, IRP *Irp) {
  ITEM *item = Irp->SystemBuffer;
  ULONG status = item->Flags & 2 ? QueueThenComplete(Device->DeviceExtension, item)
                                 : QueueItem(Device->DeviceExtension, item);
  Irp->Status = status;
  return status;
}

ULONG (*const DispatchTable[])(DEVICE_OBJECT *, IRP *) = {QueueDeviceControl};

ULONG DriverEntry(void **Driver) {
  Driver[14] = (void *)DispatchTable[0];
  return 0;
}
