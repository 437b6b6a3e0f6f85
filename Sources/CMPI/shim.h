// Open MPI as it is, with the handles that are macros given back under their own names.
#pragma once
#include <mpi.h>
