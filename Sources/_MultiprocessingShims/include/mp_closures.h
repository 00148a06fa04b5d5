// What travelling closures need from C: the images of this process, an opaque copy, and the Swift runtime's entry points.
//
// They are C because the loader's tables are C structures, because a copy in C is one that the Swift optimizer cannot
// see into, and because the runtime's entry points are C functions: declaring them here needs no `@_silgen_name`.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The bytes of an image's identity.
#define MP_IMAGE_IDENTITY_SIZE 20

/// An executable or shared library that is mapped into this process.
struct mp_image {
    /// The path the loader knows it by; empty for the executable itself. Valid while the image is mapped.
    const char *_Nonnull name;
    /// What to add to an address of the file to get the address in memory.
    uintptr_t base;
    const void *_Nonnull program_headers;
    uint16_t program_header_count;
};

/// Copies bytes where the Swift optimizer cannot follow.
void mp_opaque_copy(void *_Nonnull to, const void *_Nonnull from, size_t count);

/// The number of images ever loaded and ever unloaded, added up: it changes whenever the set of images does.
uint64_t mp_image_generation(void);

/// Finds the image whose segments hold an address.
bool mp_image_containing(const void *_Nonnull address, struct mp_image *_Nonnull image);

/// Finds an image by the last component of its path (empty: the executable itself).
bool mp_image_named(const char *_Nonnull name, struct mp_image *_Nonnull image);

/// The image's build: its ELF build id, else a hash of its program headers and of its table of functions.
void mp_image_identity(const struct mp_image *_Nonnull image, uint8_t *_Nonnull identity);

/// Whether `size` bytes at an address lie within one loaded segment of the image.
bool mp_image_holds(const struct mp_image *_Nonnull image, uintptr_t address, size_t size);

/// Whether an address is the first instruction of a function of the image, as its unwind table has it.
bool mp_image_has_function(const struct mp_image *_Nonnull image, uintptr_t address);

/// The sections of Swift metadata by which addresses are checked.
enum mp_swift_section {
    mp_swift_section_protocols,
    mp_swift_section_types,
    mp_swift_section_captures,
    mp_swift_section_fields,
};

/// Whether an address lies within a section of Swift metadata of any image; for protocols and types,
/// whether one of the section's records refers to it.
bool mp_swift_section_has(enum mp_swift_section section, const void *_Nonnull address);

/// What travels beside the bytes that the calling thread encodes or decodes; a thread-local variable, which Swift has not.
void *_Nullable mp_transfer_current(void);
void mp_transfer_set_current(void *_Nullable context);

// The Swift runtime, as Runtime/HeapObject.h, Metadata.h and Casting.h of the toolchain declare it.
void *_Nonnull swift_allocObject(const void *_Nonnull metadata, size_t size, size_t alignment_mask);
const void *_Nullable swift_conformsToProtocol(const void *_Nonnull type, const void *_Nonnull protocol);

/// Allocates a box for a value of a type known at run time only (`swift_allocBox`), and says where the value goes.
void *_Nonnull mp_swift_allocate_box(const void *_Nonnull type, void *_Nullable *_Nonnull value);

#ifdef __cplusplus
}
#endif
