"""The mesh of routers: the links that packets take, and the ways around dead ones."""
