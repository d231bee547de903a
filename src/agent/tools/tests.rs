//! The tools from outside: through [`run`], on real files and real commands.
