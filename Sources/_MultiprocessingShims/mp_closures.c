#define _GNU_SOURCE
#include "mp_closures.h"

#include <elf.h>
#include <link.h>
#include <string.h>

void mp_opaque_copy(void *to, const void *from, size_t count) {
    memcpy(to, from, count);
}

// MARK: - Images

typedef ElfW(Phdr) program_header;

static int read_generation(struct dl_phdr_info *info, size_t size, void *result) {
    (void)size;
    *(uint64_t *)result = (uint64_t)info->dlpi_adds + (uint64_t)info->dlpi_subs;
    return 1;
}

uint64_t mp_image_generation(void) {
    uint64_t generation = 0;
    dl_iterate_phdr(read_generation, &generation);
    return generation;
}

bool mp_image_holds(const struct mp_image *image, uintptr_t address, size_t size) {
    const program_header *headers = image->program_headers;
    for (uint16_t i = 0; i < image->program_header_count; i++) {
        if (headers[i].p_type != PT_LOAD) continue;
        uintptr_t start = image->base + headers[i].p_vaddr;
        if (address >= start && address - start <= headers[i].p_memsz && size <= headers[i].p_memsz - (address - start))
            return true;
    }
    return false;
}

static const char *last_component(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

struct image_search {
    const void *address;  // or
    const char *name;
    struct mp_image *image;
    bool first;
};

static int search_image(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    struct image_search *search = context;
    // The loader lists the executable first; its name is empty, or (with some loaders) the program's path.
    struct mp_image image = {
        .name = search->first ? "" : info->dlpi_name,
        .base = info->dlpi_addr,
        .program_headers = info->dlpi_phdr,
        .program_header_count = info->dlpi_phnum,
    };
    bool found = search->name ? (search->first ? *search->name == 0
                                               : *search->name != 0 && !strcmp(last_component(image.name), search->name))
                              : mp_image_holds(&image, (uintptr_t)search->address, 1);
    search->first = false;
    if (found) *search->image = image;
    return found;
}

bool mp_image_containing(const void *address, struct mp_image *image) {
    struct image_search search = {.address = address, .image = image, .first = true};
    return dl_iterate_phdr(search_image, &search) != 0;
}

bool mp_image_named(const char *name, struct mp_image *image) {
    struct image_search search = {.name = name, .image = image, .first = true};
    return dl_iterate_phdr(search_image, &search) != 0;
}

// MARK: - The table of functions

// `.eh_frame_hdr` lists the start of every function that can be unwound, sorted: with the encodings that every linker
// writes, a count and then pairs of 32-bit offsets from the section itself.
struct function_table {
    const uint8_t *section;
    size_t size;
    const int32_t (*pairs)[2];
    uint32_t count;
};

static bool find_function_table(const struct mp_image *image, struct function_table *table) {
    const program_header *headers = image->program_headers;
    for (uint16_t i = 0; i < image->program_header_count; i++) {
        if (headers[i].p_type != PT_GNU_EH_FRAME || headers[i].p_memsz < 12) continue;
        const uint8_t *section = (const uint8_t *)(image->base + headers[i].p_vaddr);
        const uint8_t pcrel_sdata4 = 0x1b, udata4 = 0x03, datarel_sdata4 = 0x3b;
        if (section[0] != 1 || section[1] != pcrel_sdata4 || section[2] != udata4 || section[3] != datarel_sdata4)
            return false;
        table->section = section;
        table->size = headers[i].p_memsz;
        table->pairs = (const void *)(section + 12);
        memcpy(&table->count, section + 8, sizeof table->count);
        return table->count <= (table->size - 12) / 8;
    }
    return false;
}

bool mp_image_has_function(const struct mp_image *image, uintptr_t address) {
    struct function_table table;
    if (!find_function_table(image, &table)) return false;
    uint32_t low = 0, high = table.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uintptr_t start = (uintptr_t)table.section + (intptr_t)table.pairs[middle][0];
        if (start == address) return true;
        if (start < address) low = middle + 1;
        else high = middle;
    }
    return false;
}

// MARK: - Identity

static uint64_t fnv1a(uint64_t hash, const void *bytes, size_t count) {
    const uint8_t *p = bytes;
    for (size_t i = 0; i < count; i++) hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

static bool copy_build_id(const uint8_t *notes, size_t size, size_t alignment, uint8_t *identity) {
    size_t at = 0;
    while (at + sizeof(ElfW(Nhdr)) <= size) {
        ElfW(Nhdr) note;
        memcpy(&note, notes + at, sizeof note);
        size_t name = at + sizeof note;
        size_t description = name + ((note.n_namesz + alignment - 1) & ~(alignment - 1));
        if (description + note.n_descsz > size) return false;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(notes + name, "GNU", 4)) {
            size_t count = note.n_descsz < MP_IMAGE_IDENTITY_SIZE ? note.n_descsz : MP_IMAGE_IDENTITY_SIZE;
            memcpy(identity, notes + description, count);
            return count >= 8;
        }
        at = description + ((note.n_descsz + alignment - 1) & ~(alignment - 1));
    }
    return false;
}

void mp_image_identity(const struct mp_image *image, uint8_t *identity) {
    const program_header *headers = image->program_headers;
    memset(identity, 0, MP_IMAGE_IDENTITY_SIZE);
    for (uint16_t i = 0; i < image->program_header_count; i++) {
        if (headers[i].p_type != PT_NOTE) continue;
        size_t alignment = headers[i].p_align == 8 ? 8 : 4;
        if (copy_build_id((const uint8_t *)(image->base + headers[i].p_vaddr), headers[i].p_memsz, alignment, identity))
            return;
    }
    // No build id. The segments' sizes and the addresses of all functions change with almost any change of the program.
    uint64_t hash = fnv1a(0xcbf29ce484222325u, headers, image->program_header_count * sizeof *headers);
    memcpy(identity, &hash, sizeof hash);
    struct function_table table;
    if (find_function_table(image, &table)) {
        hash = fnv1a(hash, table.section, table.size);
        memcpy(identity + sizeof hash, &hash, sizeof hash);
    }
}

// MARK: - Sections of Swift metadata

// The first fields of `MetadataSections.h` of the toolchain, whose order is ABI.
struct section_range {
    uintptr_t start;
    size_t length;
};
struct metadata_sections {
    uintptr_t version;
    const void *base;
    void *unused[2];
    struct section_range protocols, conformances, types, type_references, reflection_strings, fields, associated_types,
        replacements, replacements2, builtins, captures;
};
void swift_enumerateAllMetadataSections(bool (*body)(const struct metadata_sections *, void *), void *context);

struct section_search {
    enum mp_swift_section section;
    uintptr_t address;
    bool found;
};

// A record is a 32-bit relative reference; its low bits say whether it goes through a pointer.
static bool refers(const int32_t *record, uintptr_t address, int32_t indirect_bits) {
    int32_t offset = *record;
    uintptr_t target = (uintptr_t)record + (intptr_t)(offset & ~3);
    if (offset == 0) return false;
    return (offset & 3) == indirect_bits ? *(const uintptr_t *)target == address : target == address;
}

static bool search_section(const struct metadata_sections *sections, void *context) {
    struct section_search *search = context;
    const struct section_range *range = search->section == mp_swift_section_protocols ? &sections->protocols
        : search->section == mp_swift_section_types ? &sections->types
        : search->section == mp_swift_section_captures ? &sections->captures
                                                       : &sections->fields;
    if (search->section == mp_swift_section_captures || search->section == mp_swift_section_fields) {
        search->found = search->address - range->start < range->length;
    } else {
        const int32_t *records = (const int32_t *)range->start;
        for (size_t i = 0; i < range->length / sizeof *records && !search->found; i++)
            search->found = refers(&records[i], search->address, 1);
    }
    return !search->found;
}

bool mp_swift_section_has(enum mp_swift_section section, const void *address) {
    struct section_search search = {section, (uintptr_t)address, false};
    swift_enumerateAllMetadataSections(search_section, &search);
    return search.found;
}

// MARK: - Boxes

struct box_pair {
    void *object;
    void *value;
};
__attribute__((swiftcall)) struct box_pair swift_allocBox(const void *type);

void *mp_swift_allocate_box(const void *type, void **value) {
    struct box_pair pair = swift_allocBox(type);
    *value = pair.value;
    return pair.object;
}

static _Thread_local void *transfer;

void *mp_transfer_current(void) { return transfer; }

void mp_transfer_set_current(void *context) { transfer = context; }
