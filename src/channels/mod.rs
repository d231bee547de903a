//! Messengers. None is built yet: the layer is named here so that what is built into it later stands where it belongs.
