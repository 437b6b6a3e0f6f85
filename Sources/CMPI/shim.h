// Open MPI as it is, with the handles that are macros given back under their own names.
#pragma once
#include <mpi.h>

#define APUS_GETTER(name) __attribute__((swift_name("getter:" name "()")))

static inline MPI_Comm apus_comm_world(void) APUS_GETTER("MPI_COMM_WORLD");
static inline MPI_Comm apus_comm_world(void) { return MPI_COMM_WORLD; }
static inline MPI_Comm apus_comm_null(void) APUS_GETTER("MPI_COMM_NULL");
static inline MPI_Comm apus_comm_null(void) { return MPI_COMM_NULL; }
static inline MPI_Comm apus_comm_self(void) APUS_GETTER("MPI_COMM_SELF");
static inline MPI_Comm apus_comm_self(void) { return MPI_COMM_SELF; }
static inline MPI_Info apus_info_null(void) APUS_GETTER("MPI_INFO_NULL");
static inline MPI_Info apus_info_null(void) { return MPI_INFO_NULL; }
static inline MPI_Status *apus_status_ignore(void) APUS_GETTER("MPI_STATUS_IGNORE");
static inline MPI_Status *apus_status_ignore(void) { return MPI_STATUS_IGNORE; }
static inline MPI_Datatype apus_byte(void) APUS_GETTER("MPI_BYTE");
static inline MPI_Datatype apus_byte(void) { return MPI_BYTE; }
static inline MPI_Request apus_request_null(void) APUS_GETTER("MPI_REQUEST_NULL");
static inline MPI_Request apus_request_null(void) { return MPI_REQUEST_NULL; }
static inline MPI_Status *apus_statuses_ignore(void) APUS_GETTER("MPI_STATUSES_IGNORE");
static inline MPI_Status *apus_statuses_ignore(void) { return MPI_STATUSES_IGNORE; }
